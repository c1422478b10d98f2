# The gate: `make test` is what has to be green before a commit.

.PHONY: test format vet staticcheck test-host fuzz test-metal test-boot test-run

test: format vet staticcheck test-host fuzz test-metal test-boot test-run ## everything but the real kernels

format:
	@files=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$files" ] || { echo "not gofmt-clean: $$files"; exit 1; }

vet:
	$(GO) vet ./...
	$(GO) vet -tags metal ./...

staticcheck:
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags metal ./...

test-host:
	$(GO) test -race ./...

# Every fuzz target for FUZZTIME, one after another.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

test-metal: qemu $(BUILD)/linker ## the unit tests with no OS, at real physical addresses
	$(METAL_ENV) $(GO) test $(METAL_FLAGS) -count=1 -p 1 -exec '$(CURDIR)/qemu.sh' $(METAL_PKGS)

test-run: qemu $(BUILD)/probe.cpio ## the crossing on bare metal, whole and damaged
	$(GO) vet -tags qemu ./cmd/probe
	$(GO) test -tags qemu -count=1 ./cmd/probe
