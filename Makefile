# Ferry
#
#   make            build/ferry (host tool) and build/ferry.bzimage (the stage)
#   make run        a whole crossing on bare metal under QEMU, without Linux
#   make test       everything but the real kernels; make test-linux: those
#   make help       every target with a sentence
#
# Needs Go and a Debian machine; everything else is installed when it is missing.

# Targets install packages, boot machines with timeouts, and share two cores. Only
# those that `make test` names run side by side (mk/test.mk).
ifndef BESIDE
.NOTPARALLEL:
endif

BUILD    := build
LINUX    := $(BUILD)/linux
GO       ?= go
INIT_MIB ?= 64

# Functions without the 32-byte alignment make the image 49 KB smaller. Assembler that
# asks for an alignment gets it.
DENSE := -funcalign=1

# What runs with no OS is built by the stock toolchain, or by TamaGo's if
# TAMAGO names its go command. TEXT_START is the address of the text in virtual
# memory; the page before it holds the entries and parameters that linker/
# writes. Stock: above Go's heap, below 2^47. TamaGo: below 4 GiB.
ifdef TAMAGO
export TAMAGO
METAL_GO      := $(TAMAGO)
METAL_ENV     := GOOS=tamago GOOSPKG=ferry GOARCH=amd64 GOAMD64=v1 CGO_ENABLED=0 GOTOOLCHAIN=local
TEXT_START    := 0x40001000
METAL_LDFLAGS := -T $(TEXT_START) $(DENSE)
else
METAL_GO      := $(GO)
METAL_ENV     := GOOS=linux GOARCH=amd64 GOAMD64=v1 CGO_ENABLED=0
TEXT_START    := 0x400000001000
METAL_LDFLAGS := -E ferry_entry -T $(TEXT_START) $(DENSE)
endif
# Package fmt is for reports and errors: without inlining it is 17 KB smaller.
METAL_FLAGS := -tags metal -trimpath -buildvcs=false -gcflags=fmt=-l -ldflags '$(METAL_LDFLAGS)'

# Packages whose unit tests also run with no OS, at real physical addresses.
METAL_PKGS := $(if $(TAMAGO),,./board/amd64/internal/syscalls) ./board/amd64/internal/kernel ./board/amd64 ./phys ./own ./fdt ./kho ./blockset ./luo ./memfd ./boot

SOURCES := $(shell find . -name '*.go' -o -name '*.s' -o -name '*.lst') go.mod go.sum

# A toolchain that is named by its path is the one that scripts and tests find.
ifneq ($(dir $(GO)),./)
export PATH := $(dir $(GO)):$(PATH)
endif

.PHONY: all help
all: $(BUILD)/ferry $(BUILD)/ferry.bzimage ## the host tool and the stage, in build/

help: ## every target with a sentence
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | sort -u | while IFS="$$(printf '\t')" read -r target says; do printf '  %-20s %s\n' "$$target" "$$says"; done

$(BUILD)/ferry: $(SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/ferry

$(BUILD)/linker: $(SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./linker/cmd

$(BUILD)/%.elf: $(SOURCES) $(BUILD)/toolchain
	$(METAL_ENV) $(METAL_GO) build $(METAL_FLAGS) -o $@ ./cmd/$*

# What the boot tests boot.
$(BUILD)/trial.elf: $(SOURCES) $(BUILD)/toolchain
	$(METAL_ENV) $(METAL_GO) build $(METAL_FLAGS) -o $@ ./board/amd64/trial

$(BUILD)/ferry.bzimage: $(BUILD)/stage.elf $(BUILD)/linker $(BUILD)/init-size
	$(BUILD)/linker --init-size $(INIT_MIB) -o $@ $<

$(BUILD)/%.bzimage: $(BUILD)/%.elf $(BUILD)/linker $(BUILD)/init-size
	$(BUILD)/linker --init-size $(INIT_MIB) --name $* -o $@ $<

# Changes where INIT_MIB does, so that the images follow.
$(BUILD)/init-size: FORCE
	@mkdir -p $(@D); echo $(INIT_MIB) | cmp -s - $@ || echo $(INIT_MIB) >$@

# Changes where another toolchain builds the images.
TOOLCHAIN = "$(METAL_GO) $(METAL_ENV) $(METAL_FLAGS)"
$(BUILD)/toolchain: FORCE
	@mkdir -p $(@D); echo $(TOOLCHAIN) | cmp -s - $@ || echo $(TOOLCHAIN) >$@

.PHONY: FORCE

# $(call install,packages) installs what is missing of them, and says so.
install = @dpkg-query -W -f '$${db:Status-Status}\n' $(1) 2>&1 | grep -qv '^installed$$' || exit 0; \
	echo "installing $(1)"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(1)

include $(wildcard mk/*.mk)

.PHONY: clean
clean: ## away with build/
	rm -rf $(BUILD)
