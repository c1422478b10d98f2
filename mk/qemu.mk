# Bare metal under QEMU: the crossing that a newcomer sees.

SESSIONS ?= 8
FILES    ?= 12
REGIONS  ?= 2
FILL     ?= 5
# Generations as `ferry abi` lists them; Ep is E'.
FROM     ?= D
TO       ?= F
# More words for the probe and for Ferry: X, which no kernel uses, takes
# WORDS=ferry.experimental=1.
WORDS    ?=

.PHONY: qemu run

qemu: ## install QEMU
	$(call install,qemu-system-x86)

# Towards 6.19 and 7.0, which have no place for seals, files get none.
PROBE_WORDS = probe.sessions=$(SESSIONS) probe.files=$(FILES) probe.regions=$(REGIONS) probe.fill=$(FILL) \
	probe.from=$(FROM) probe.to=$(TO) $(if $(filter C D,$(TO)),probe.plain=1) $(WORDS)

# The payload that Ferry takes along is the probe again, as Linux B. What the
# probe boots as Linux A has the same form: Ferry as the kernel, the payload as
# its initrd. Neither image says which generation it reads, so ferry is told.
$(BUILD)/payload-%.cpio: $(BUILD)/probe.bzimage $(BUILD)/ferry
	$(BUILD)/ferry pack --kernel $(BUILD)/probe.bzimage --generation "$(subst p,',$*)" --output $@ >/dev/null

$(BUILD)/probe-%.cpio: $(BUILD)/payload-%.cpio $(BUILD)/ferry.bzimage
	$(BUILD)/ferry pack --kernel $(BUILD)/ferry.bzimage --generation F --initrd $< --output $@ >/dev/null

.PRECIOUS: $(BUILD)/payload-%.cpio $(BUILD)/probe-%.cpio

# What tests and benchmarks boot is of generation F.
$(BUILD)/probe.cpio: $(BUILD)/probe-F.cpio
	cp $< $@

run: qemu $(BUILD)/probe-$(TO).cpio ## a whole crossing on bare metal, without Linux: make run FROM=D TO=F
	INITRD=$(BUILD)/probe-$(TO).cpio MEM=1G TIMEOUT=110 APPEND="$(PROBE_WORDS)" ./qemu.sh $(BUILD)/probe.bzimage
