# Bare metal under QEMU: the crossing that a newcomer sees.

SESSIONS ?= 8
FILES    ?= 12
REGIONS  ?= 2
FILL     ?= 5

.PHONY: qemu run

qemu:
	$(call install,qemu-system-x86)

PROBE_WORDS = probe.sessions=$(SESSIONS) probe.files=$(FILES) probe.regions=$(REGIONS) probe.fill=$(FILL)

# The payload that Ferry takes along is the probe again, as Linux B. What the
# probe boots as Linux A has the same form: Ferry as the kernel, the payload as
# its initrd. Neither image says which generation it reads, so ferry is told.
GENERATION ?= F

$(BUILD)/payload.cpio: $(BUILD)/probe.bzimage $(BUILD)/ferry
	$(BUILD)/ferry pack --kernel $(BUILD)/probe.bzimage --generation "$(GENERATION)" --output $@ >/dev/null

$(BUILD)/probe.cpio: $(BUILD)/payload.cpio $(BUILD)/ferry.bzimage
	$(BUILD)/ferry pack --kernel $(BUILD)/ferry.bzimage --generation "$(GENERATION)" --initrd $(BUILD)/payload.cpio --output $@ >/dev/null

run: qemu $(BUILD)/probe.cpio ## a whole crossing on bare metal, without Linux
	INITRD=$(BUILD)/probe.cpio MEM=1G TIMEOUT=110 APPEND="$(PROBE_WORDS)" ./qemu.sh $(BUILD)/probe.bzimage
