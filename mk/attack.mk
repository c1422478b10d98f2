# Proof by attack, on the host: docs/reliability.md, sections 1, 2, 8 and 9. Each
# target writes its section.

.PHONY: attack attack-flips

# Bits flipped on each route at most. With a million every structure has all of
# its bits flipped, which takes two hours on two cores.
FLIPS ?= 100000

attack: fuzz-nightly attack-flips attack-load attack-mutation ## proof by attack, without machines

ATTACK_RESULTS := $(BUILD)/attack

attack-flips: ## one bit of a handover of each generation flipped at a time
	@mkdir -p $(ATTACK_RESULTS)
	nice -n 19 $(GO) test -count=1 -timeout 8h -run '^TestFlippedBits' ./attack -flips $(FLIPS) -results $(abspath $(ATTACK_RESULTS)) -page $(CURDIR)/docs/reliability.md

.PHONY: attack-mutation
attack-mutation: ## each rule of the audit taken away: some test has to fail
	@mkdir -p $(ATTACK_RESULTS)
	nice -n 19 $(GO) run ./attack/mutation -state $(abspath $(ATTACK_RESULTS))/mutants.json -page $(CURDIR)/docs/reliability.md

.PHONY: attack-load
attack-load: ## the largest handovers that the formats have
	nice -n 10 $(GO) test -count=1 -timeout 20m -run '^TestLargeHandovers' ./attack -load -page $(CURDIR)/docs/reliability.md

# Processor time of all fuzz targets together.
FUZZ_BUDGET ?= 20m

.PHONY: fuzz-nightly
fuzz-nightly: ## every fuzz target, for twenty minutes of processor time
	@mkdir -p $(ATTACK_RESULTS)
	@rm -f $(ATTACK_RESULTS)/fuzz.json
	nice -n 10 $(GO) run ./attack/nightly -state $(abspath $(ATTACK_RESULTS))/fuzz.json -budget $(FUZZ_BUDGET) -page $(CURDIR)/docs/reliability.md
