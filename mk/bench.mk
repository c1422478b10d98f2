# The numbers, with their bounds: instructions and memory of crossings under
# QEMU, ratios to memcpy on this machine. tools/bench says which of them can fail.

.PHONY: bench
bench: qemu $(BUILD)/probe.cpio ## every number that is promised, and what it is now
	$(GO) run ./tools/bench
