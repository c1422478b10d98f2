# Proof by attack, on metal: docs/reliability.md, sections 3 to 7. Each target
# writes its section.

.PHONY: attack-metal attack-damages attack-stray

attack-metal: attack-damages attack-stray ## broken handovers, machines stopped midway, all memory compared

# What the attacks boot, and the symbols by which they stop it.
ATTACK_IMAGES := $(BUILD)/ferry.bzimage $(BUILD)/stage.elf $(BUILD)/probe.bzimage $(BUILD)/probe.elf

RELIABILITY := $(CURDIR)/docs/reliability.md
ATTACK = nice -n 10 $(GO) test -tags qemu -count=1 -timeout 60m ./attack/metal -build $(abspath $(BUILD)) -page $(RELIABILITY)

attack-stray: qemu $(ATTACK_IMAGES) ## all memory before and after a crossing, for each pair of generations
	$(ATTACK) -run '^TestStrayWrites$$'

attack-damages: qemu $(ATTACK_IMAGES) ## every damage that the probe knows, every generation, all policies
	$(ATTACK) -run '^TestDamages$$' -parallel 2
