# The gate: `make test` is what has to be green before a commit.

.PHONY: test format vet staticcheck test-host fuzz test-metal test-boot test-run reproducible gcc

test: format vet staticcheck test-host reproducible fuzz test-metal test-boot test-run ## everything but the real kernels
	@echo "make test: all passed"

format:
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || exit 1; [ -z "$$files" ] || { echo "not gofmt-clean: $$files"; exit 1; }

# Files behind build tags are looked at as well, those for TamaGo among them.
TAGS := "" metal "metal tamago" qemu linux_e2e abi

vet:
	@for tags in $(TAGS); do $(GO) vet -tags "$$tags" ./... || exit 1; done

staticcheck:
	@for tags in $(TAGS); do $(GO) tool staticcheck -tags "$$tags" ./... || exit 1; done

# The race detector needs a C compiler; with objdump the linker's stubs are checked.
gcc:
	$(call install,gcc libc6-dev binutils)

test-host: gcc compressors minisign
	$(GO) test -race ./...

# The image, built again in another folder, must have the same bytes.
reproducible: $(BUILD)/ferry.bzimage
	@other=$$(mktemp -d); trap 'rm -rf "$$other"' EXIT; \
	git ls-files -z | xargs -0 cp --parents -t "$$other" && \
	$(MAKE) --no-print-directory -s -C "$$other" $(BUILD)/ferry.bzimage && \
	cmp "$$other/$(BUILD)/ferry.bzimage" $(BUILD)/ferry.bzimage

# Every fuzz target for FUZZTIME of processor time, one after another.
FUZZTIME ?= 30s

fuzz: compressors
	$(GO) run ./attack/nightly -each $(FUZZTIME)

test-metal: qemu $(BUILD)/linker ## the unit tests with no OS, at real physical addresses
	MEM=2G LINKER=$(CURDIR)/$(BUILD)/linker $(METAL_ENV) $(METAL_GO) test $(METAL_FLAGS) -count=1 -p 1 -exec '$(CURDIR)/qemu.sh' $(METAL_PKGS)

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
	$(MAKE) --no-print-directory BUILD=build/next-go METAL_PKGS='./metal ./board/amd64' test-metal

test-boot: qemu $(BUILD)/trial.bzimage ## every machine, memory size and processor of the boot matrix
	$(GO) test -tags qemu -count=1 ./board/amd64 ./linker

test-run: qemu minisign $(BUILD)/probe.cpio ## the crossing on bare metal, whole and damaged, signed and forged
	$(GO) test -tags qemu -count=1 ./cmd/probe
	$(GO) test -tags qemu -count=1 -run OnMetal ./cmd/ferry
