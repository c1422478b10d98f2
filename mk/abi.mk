# What a kernel's image says of its formats (boot/vmlinux, ferry abi).

.PHONY: compressors
compressors: # those that Linux' build uses, for the tests
	$(call install,gzip zstd xz-utils lz4 lzop bzip2)
