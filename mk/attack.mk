# Proof by attack, on the host: docs/reliability.md, sections 1, 2, 8, 9 and 12. Each
# target writes its section.

.PHONY: attack attack-flips

# Bits flipped at most on the routes of a generation to itself, 0 for every bit of
# every structure, and on the others. As it is this takes 40 minutes on two cores.
FLIPS ?= 0
SAMPLE ?= 100000

# The tree that is tested, but for the page itself.
ATTACK_COMMIT = $(shell git rev-parse --short HEAD)$(shell git diff --quiet HEAD -- . ':!docs' || echo -dirty)

attack: fuzz-nightly attack-flips attack-load attack-mutation ## proof by attack, without machines

# One after another: the budgets are in processor time, the machines have deadlines.
NIGHTLY := fuzz-nightly attack-flips attack-load attack-mutation attack-faults $(ATTACKS_ON_METAL) test-boot-whole test-linux-whole test-debug

.PHONY: nightly
nightly: ## all attacks and every row of every table, each whatever became of those before, into docs/nightly.md
	$(GO) run ./tools/nightly -page $(CURDIR)/docs/nightly.md -logs $(BUILD)/nightly $(NIGHTLY)

ATTACK_RESULTS := $(BUILD)/attack

attack-flips: ## one bit of a handover of each generation flipped at a time
	@mkdir -p $(ATTACK_RESULTS)
	GOGC=400 nice -n 10 $(GO) test -count=1 -timeout 8h -run '^TestFlippedBits' ./attack -flips $(FLIPS) -sample $(SAMPLE) -commit $(ATTACK_COMMIT) -results $(abspath $(ATTACK_RESULTS)) -page $(CURDIR)/docs/reliability.md

.PHONY: attack-mutation
attack-mutation: gcc compressors minisign ## each rule of the audit taken away: some test has to fail
	@mkdir -p $(ATTACK_RESULTS)
	nice -n 19 $(GO) run ./tools/mutation -state $(abspath $(ATTACK_RESULTS))/mutants.json -page $(CURDIR)/docs/reliability.md

.PHONY: attack-faults faults-fit
attack-faults: qemu gcc compressors minisign ## slips of arithmetic, order and range, one at a time: some test has to fail
	$(GO) run ./tools/faults -page $(CURDIR)/docs/reliability.md

faults-fit: ## each fault of attack-faults stands where the code is
	@$(GO) run ./tools/faults -check

.PHONY: attack-load
attack-load: ## the largest handovers that the formats have
	nice -n 10 $(GO) test -count=1 -timeout 20m -run '^TestLargeHandovers' ./attack -load -page $(CURDIR)/docs/reliability.md

# Processor time of all fuzz targets together.
FUZZ_BUDGET ?= 20m

.PHONY: fuzz-nightly
fuzz-nightly: compressors ## every fuzz target, for twenty minutes of processor time
	@mkdir -p $(ATTACK_RESULTS)
	@rm -f $(ATTACK_RESULTS)/fuzz.json
	nice -n 10 $(GO) run ./tools/fuzz -state $(abspath $(ATTACK_RESULTS))/fuzz.json -budget $(FUZZ_BUDGET) -page $(CURDIR)/docs/reliability.md

.PHONY: fuzz-keep
fuzz-keep: compressors ## the least of what fuzzing found that covers as much, into testdata/fuzz
	$(GO) run ./tools/fuzz -keep
