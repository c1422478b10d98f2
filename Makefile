# Ferry
#
#   make            build/ferry (host tool) and build/ferry.bzimage (the stage)
#   make run        a whole crossing on bare metal under QEMU, without Linux
#   make run-linux  the same between two real kernels
#   make test       everything but the real kernels; make test-linux: those
#   make bench      the numbers, ratios and instructions
#
# Needs Go and a Debian machine; everything else is installed when it is missing.

# Targets install packages, boot machines with timeouts, and share two cores.
.NOTPARALLEL:

BUILD    := build
GO       ?= go
INIT_MIB ?= 64
# Runs of each fuzz target. A time, such as 30s, works too, but go test sometimes
# calls its end a failure ("context deadline exceeded").
FUZZTIME ?= 30000x

# Where the image stands in virtual memory: above Go's heap, below 2^47. The
# page before the text holds the entries and parameters that linker/ writes.
IMAGE_BASE := 0x400000000000
TEXT       := 0x400000001000
ENTRY      := ferry_entry

METAL_ENV     := GOOS=linux GOARCH=amd64 GOAMD64=v1 CGO_ENABLED=0
METAL_LDFLAGS := -E $(ENTRY) -T $(TEXT)
METAL_FLAGS   := -tags metal -trimpath -buildvcs=false -ldflags '$(METAL_LDFLAGS)'

# Packages whose unit tests also run with no OS, at real physical addresses.
METAL_PKGS := ./metal ./board/amd64 ./phys ./fdt ./kho ./blockset ./luo ./memfd ./boot

SOURCES := $(shell find . -name '*.go' -o -name '*.s' -o -name '*.lst') go.mod go.sum

# A toolchain that is named by its path is the one that scripts and tests find.
ifneq ($(dir $(GO)),./)
export PATH := $(dir $(GO)):$(PATH)
endif

.PHONY: all
all: $(BUILD)/ferry $(BUILD)/ferry.bzimage

$(BUILD)/ferry: $(SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/ferry

$(BUILD)/linker: $(SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./linker/cmd

$(BUILD)/%.elf: $(SOURCES)
	$(METAL_ENV) $(GO) build $(METAL_FLAGS) -o $@ ./cmd/$*

$(BUILD)/ferry.bzimage: $(BUILD)/stage.elf $(BUILD)/linker $(BUILD)/init-size
	$(BUILD)/linker --init-size $(INIT_MIB) -o $@ $<

$(BUILD)/probe.bzimage: $(BUILD)/probe.elf $(BUILD)/linker $(BUILD)/init-size
	$(BUILD)/linker --init-size $(INIT_MIB) --name probe -o $@ $<

# Changes where INIT_MIB does, so that the images follow.
$(BUILD)/init-size: FORCE
	@mkdir -p $(@D); echo $(INIT_MIB) | cmp -s - $@ || echo $(INIT_MIB) >$@

.PHONY: FORCE

# $(call install,packages) installs what is missing of them, and says so.
install = @dpkg-query -W -f '$${db:Status-Status}\n' $(1) 2>&1 | grep -qv '^installed$$' || exit 0; \
	echo "installing $(1)"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(1)

include $(wildcard mk/*.mk)

.PHONY: clean
clean:
	rm -rf $(BUILD)
