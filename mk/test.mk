# The gate: `make test` is what has to be green before a commit.

.PHONY: test format covered vet staticcheck test-host test-race test-metal test-boot test-run reproducible gcc

# What needs no machine runs beside what boots them, two targets at a time, after
# everything that both take was installed and built. Each prints when it ends.
GATE_TOOLS  := qemu gcc compressors minisign
GATE_IMAGES := $(BUILD)/ferry.bzimage $(BUILD)/linker $(BUILD)/trial.bzimage $(BUILD)/probe.cpio
GATE        := test-run vet test-host test-boot test-metal staticcheck test-race reproducible

test: format covered faults-fit $(GATE_TOOLS) $(GATE_IMAGES) ## everything but the real kernels
	@$(MAKE) --no-print-directory -j2 -Otarget BESIDE=1 $(GATE)
	@echo "make test: all passed"

format: ## gofmt has nothing to change
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || exit 1; [ -z "$$files" ] || { echo "not gofmt-clean: $$files"; exit 1; }

# Files behind build tags are checked as well. Three sets have every file: what runs
# under Linux, what runs with no operating system, and that with TamaGo's runtime.
TAGS := "abi qemu linux_e2e linux_hosts" "metal race" "metal tamago"

covered: ## every Go file is in some tag set that vet and staticcheck take
	@$(GO) run ./tools/sources covered $(TAGS)

vet: ## go vet with every tag set
	@for tags in $(TAGS); do $(GO) vet -tags "$$tags" ./... || exit 1; done

staticcheck: ## staticcheck with every tag set
	@for tags in $(TAGS); do $(GO) tool staticcheck -tags "$$tags" ./... || exit 1; done

# The race detector needs a C compiler; with objdump the linker's stubs are checked.
gcc: ## install the C compiler
	$(call install,gcc libc6-dev binutils)

test-host: gcc compressors minisign ## the unit tests, with the inputs that fuzzing found (testdata/fuzz)
	$(GO) test ./...

# Elsewhere it has nothing to find, and takes ten times as long.
test-race: gcc compressors ## the packages that start goroutines, with the race detector
	$(GO) test -race -short $$($(GO) run ./tools/sources concurrent)

# The image, built again in another folder, must have the same bytes.
reproducible: $(BUILD)/ferry.bzimage ## the image built in another folder has the same bytes
	@other=$$(mktemp -d); trap 'rm -rf "$$other"' EXIT; \
	git ls-files -z | xargs -0 cp --parents -t "$$other" && \
	$(MAKE) --no-print-directory -s -C "$$other" $(BUILD)/ferry.bzimage && \
	cmp "$$other/$(BUILD)/ferry.bzimage" $(BUILD)/ferry.bzimage

test-metal: qemu $(BUILD)/linker ## the unit tests with no OS, at real physical addresses
	MEM=2G TIMEOUT=400 LINKER=$(CURDIR)/$(BUILD)/linker $(METAL_ENV) $(METAL_GO) test $(METAL_FLAGS) -count=1 -p 2 -exec '$(CURDIR)/qemu.sh' $(METAL_PKGS)

# The newest release of Go that the module proxy knows, fetched by the go command. Its
# runtime may make system calls that nobody has answered yet: unit tests and crossing end
# with exit code 60 then.
.PHONY: test-next-go
test-next-go: qemu ## the stage built and booted with the newest Go there is
	@next=go$$($(GO) list -m -f '{{.Version}}' go@latest) && [ "$$next" != go ] || exit 1; \
	echo "newest: $$next"; export GOTOOLCHAIN=$$next; \
	$(MAKE) --no-print-directory BUILD=build/next-go FROM=D TO=F run && \
	$(GO) version build/next-go/stage.elf build/next-go/probe.elf && \
	! $(GO) version build/next-go/*.elf | grep -v " $$next$$" && \
	$(MAKE) --no-print-directory BUILD=build/next-go METAL_PKGS='./board/amd64/internal/syscalls ./board/amd64/internal/kernel ./board/amd64' test-metal

test-boot: qemu $(BUILD)/trial.bzimage ## machines, memory sizes and processors, every way to end, deadlines, wiping
	$(GO) test -tags qemu -count=1 ./board/amd64 ./linker

.PHONY: test-boot-whole
test-boot-whole: qemu $(BUILD)/trial.bzimage ## every row of the boot matrix; test-boot has each pair of settings
	$(GO) test -tags qemu -count=1 -run '^TestBootsEverywhere$$' ./board/amd64 -whole

test-run: qemu minisign $(BUILD)/probe.cpio ## the crossing on bare metal, whole and damaged, signed and forged
	$(GO) test -tags qemu -count=1 ./cmd/probe
	$(GO) test -tags qemu -count=1 -run OnMetal ./cmd/ferry
