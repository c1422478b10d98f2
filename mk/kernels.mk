# Real Linux: the kernels and upstream's selftests that the real-kernel suite boots (linux/kernels.sh says how and where from).


.PHONY: kernels kernels-host kernels-debug linux-tools

kernels: linux-tools ## build Linux and its liveupdate selftests into build/linux
	linux/kernels.sh $(LINUX)

kernels-host: linux-tools ## kernels with what a host's has, 12 minutes each
	linux/kernels.sh $(LINUX) host

kernels-debug: linux-tools ## a kernel with every check that finds misused memory, 12 minutes
	linux/kernels.sh $(LINUX) debug

# What building Linux and its selftests and running them takes. Installed when a command or header is missing, as root or through sudo.
LINUX_PACKAGES := qemu-system-x86 gcc libc6-dev make flex bison bc libelf-dev libssl-dev openssl patch xz-utils debian-archive-keyring

linux-tools: ## install what building Linux and its selftests takes
	$(call install,$(LINUX_PACKAGES))

# Process 1 of our own runs.
$(LINUX)/init: $(SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./linux/init

# Breaks real handovers on their way to Ferry.
$(LINUX)/saboteur.elf: $(SOURCES) $(BUILD)/toolchain
	$(METAL_ENV) $(METAL_GO) build $(METAL_FLAGS) -o $@ ./linux/saboteur

$(LINUX)/saboteur.bzimage: $(LINUX)/saboteur.elf $(BUILD)/linker $(BUILD)/init-size
	$(BUILD)/linker --init-size $(INIT_MIB) -o $@ $<

CROSSINGS ?= 1

# What every run takes. Two machines run at a time: each has one processor to itself on two cores.
REAL    := $(BUILD)/ferry $(BUILD)/ferry.bzimage $(LINUX)/init kernels
REAL_GO := $(GO) test -tags linux_e2e -count=1 -timeout 45m -parallel 2 -v ./linux

TABLES  := $(GO) run ./tools/compatibility --build $(BUILD) --output docs/compatibility.md

.PHONY: run-linux test-linux test-linux-whole test-matrix compatibility
run-linux: $(REAL) ## a crossing between two real kernels
	$(GO) run ./tools/demo --sessions $(SESSIONS) --files $(FILES) --crossings $(CROSSINGS) $(if $(KERNELS),--kernels $(KERNELS))

test-linux: $(REAL) $(LINUX)/saboteur.bzimage minisign ## real kernels: upstream's tests, chains, damaged handovers, pairs that cover every generation
	$(REAL_GO)

test-linux-whole: $(REAL) $(LINUX)/saboteur.bzimage minisign ## every row of test-linux: hours, once a night
	$(REAL_GO) -whole -lists 200 -rounds 50 -timeout 4h

test-matrix: $(REAL) ## every pair of real kernels, with Ferry and without it, into docs/compatibility.md
	rm -rf $(LINUX)/compatibility
	FERRY_COMMAND="make test-matrix" $(REAL_GO) -run '^TestCompatibility$$' -whole && status=0 || status=$$?; $(TABLES) && exit $$status

# Kernels that are built on request, or found in FERRY_KERNELS.
REAL_HOSTS := $(GO) test -tags 'linux_e2e linux_hosts' -count=1 -timeout 4h -parallel 1 -v ./linux -page $(CURDIR)/docs/reliability.md

.PHONY: test-hosts test-debug known-before
test-hosts: $(REAL) kernels-host ## kernels of hosts: two memory nodes, memory that is added while they run
	$(REAL_HOSTS) -run '^(TestTwoMemoryNodes|TestMemoryAddedWhileItRuns)$$'

test-debug: $(REAL) kernels-debug ## a debugging kernel before and behind the stage, from and to every other one: hours
	$(REAL_HOSTS) -run '^(TestUnderADebuggingKernel|TestKASANWithTooLittleScratch)$$'

known-before: $(REAL) ## docs/known-before.md: what the host tool refuses on a running kernel
	$(REAL_HOSTS) -run '^TestKnownBeforeTheJump$$'

compatibility: ## docs/compatibility.md again, from the last test-matrix
	$(TABLES)
