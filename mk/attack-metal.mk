# Proof by attack, on metal: docs/reliability.md, sections 3 to 7. Each target
# writes its section, attack-opened that of docs/opened.md.

ATTACKS_ON_METAL := attack-damages attack-words attack-door attack-kill attack-stray attack-stray-linux attack-reserved attack-opened attack-rollback attack-endurance

.PHONY: attack-metal $(ATTACKS_ON_METAL)

attack-metal: $(ATTACKS_ON_METAL) ## broken handovers, machines stopped midway, all memory compared

# What the attacks boot, and the symbols by which they stop it.
ATTACK_IMAGES := $(BUILD)/ferry.bzimage $(BUILD)/stage.elf $(BUILD)/probe.bzimage $(BUILD)/probe.elf
ATTACK_LINUX  := $(ATTACK_IMAGES) $(BUILD)/ferry $(LINUX)/init kernels

RELIABILITY := $(CURDIR)/docs/reliability.md
ATTACK = nice -n 10 $(GO) test -tags qemu -count=1 -timeout 60m ./attack/metal -build $(abspath $(BUILD)) -page $(RELIABILITY) -parallel 2

attack-damages: qemu $(ATTACK_IMAGES) ## every damage that the probe knows, every generation, all policies
	$(ATTACK) -run '^TestDamages$$'

attack-words: qemu $(ATTACK_LINUX) ## words changed by chance in memory that the probe and real kernels left
	$(ATTACK) -run '^TestWords$$' -words 30 -seed $(or $(SEED),1)

attack-door: qemu $(ATTACK_IMAGES) ## words changed by chance in what the stage is started with
	$(ATTACK) -run '^TestDoor$$' -door 60 -seed $(or $(SEED),1)

attack-kill: qemu $(ATTACK_LINUX) ## machines stopped in the middle of a crossing; the kernel before goes on in their memory
	$(ATTACK) -run '^TestKill$$' -instants 30 -seed $(or $(SEED),1)

attack-stray: qemu $(ATTACK_IMAGES) ## all memory before and after a crossing, for each pair of generations
	$(ATTACK) -run '^TestStrayWrites$$'

attack-stray-linux: qemu $(ATTACK_LINUX) ## the same with what real kernels hand over
	$(ATTACK) -run '^TestStrayWritesBetweenKernels$$'

attack-reserved: qemu $(ATTACK_LINUX) ## real kernels with memory that only their command lines reserve
	$(ATTACK) -run '^TestReservedRanges$$'

attack-opened: qemu $(ATTACK_IMAGES) kernels ## opened kernels against what their decompressors leave in memory; where and how they are entered
	nice -n 10 $(GO) test -tags qemu -count=1 -timeout 60m ./attack/metal -build $(abspath $(BUILD)) -page $(CURDIR)/docs/opened.md \
	  $(if $(FERRY_KERNELS),-kernels $(abspath $(FERRY_KERNELS))) -run '^(TestOpenedKernelIs|TestStartsAreSpread|TestScratchWithOnePlace|TestFaultBetween)'

# Real kernels from end to end: the suite of linux/.
ATTACK_E2E = nice -n 10 $(GO) test -tags linux_e2e -count=1 -timeout 60m ./linux -build $(abspath $(BUILD)) -page $(RELIABILITY)

attack-rollback: $(ATTACK_LINUX) $(LINUX)/saboteur.bzimage minisign ## what cannot cross ends in the kernel that made it
	$(ATTACK_E2E) -run '^TestBackFromAttacks$$' -parallel 2

attack-endurance: $(ATTACK_LINUX) ## 50 crossings in one boot
	$(ATTACK_E2E) -run '^TestEndurance$$' -rounds 50
