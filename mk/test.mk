# The gate: `make test` is what has to be green before a commit.

.PHONY: test format vet staticcheck test-host fuzz test-metal test-boot test-run reproducible gcc

test: format vet staticcheck test-host reproducible fuzz test-metal test-boot test-run ## everything but the real kernels

format:
	@files=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$files" ] || { echo "not gofmt-clean: $$files"; exit 1; }

# Files behind build tags are looked at as well.
TAGS := "" metal qemu linux_e2e

vet:
	@for tags in $(TAGS); do $(GO) vet -tags "$$tags" ./... || exit 1; done

staticcheck:
	@for tags in $(TAGS); do $(GO) tool staticcheck -tags "$$tags" ./... || exit 1; done

# The race detector needs a C compiler; its package brings objdump, with which the
# linker's stubs are checked.
gcc:
	@command -v gcc >/dev/null && command -v objdump >/dev/null || { echo "installing gcc libc6-dev"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev; }

test-host: gcc
	$(GO) test -race ./...

# The image, built again in another folder, must have the same bytes.
reproducible: $(BUILD)/ferry.bzimage
	@other=$$(mktemp -d); trap 'rm -rf "$$other"' EXIT; \
	git ls-files -z | xargs -0 cp --parents -t "$$other" && \
	$(MAKE) --no-print-directory -s -C "$$other" $(BUILD)/ferry.bzimage && \
	cmp "$$other/$(BUILD)/ferry.bzimage" $(BUILD)/ferry.bzimage

# Every fuzz target for FUZZTIME, one after another. Minimizing inputs would take
# most of so short a run.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
	  done; done

test-metal: qemu $(BUILD)/linker ## the unit tests with no OS, at real physical addresses
	$(METAL_ENV) $(GO) test $(METAL_FLAGS) -count=1 -p 1 -exec '$(CURDIR)/qemu.sh' $(METAL_PKGS)

test-boot: qemu ## every machine, memory size and processor of the boot matrix
	$(GO) test -tags qemu -count=1 ./board/amd64 ./linker

test-run: qemu $(BUILD)/probe.cpio ## the crossing on bare metal, whole and damaged
	$(GO) test -tags qemu -count=1 ./cmd/probe
