# What a kernel's image says of its formats (boot/vmlinux, ferry abi).

.PHONY: compressors test-abi

compressors: ## install the compressors that Linux' build uses, for the tests
	$(call install,gzip zstd xz-utils lz4 lzop bzip2)

# The kernels of linux/kernels.sh, or those in FERRY_KERNELS, and Debian's own.
test-abi: $(if $(FERRY_KERNELS),,kernels) compressors ## ferry abi on every real kernel that can be had; what opening makes of them
	$(call install,debian-archive-keyring)
	cmd/ferry/stock.sh $(BUILD)/stock-kernels
	FERRY_KERNELS=$(abspath $(or $(FERRY_KERNELS),$(LINUX))) FERRY_STOCK=$(abspath $(BUILD)/stock-kernels) \
	  $(GO) test -tags abi -count=1 -v -run 'TestGenerationOfBuilt|TestDebians|TestRealKernels' ./cmd/ferry ./boot/opened/extract
