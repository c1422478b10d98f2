# Both toolchains side by side: docs/toolchains.md.

.PHONY: toolchains
toolchains: qemu ## docs/toolchains.md, with TAMAGO=/path/to/tamago-go/bin/go
	@[ -n '$(TAMAGO)' ] || { echo 'make toolchains TAMAGO=/path/to/tamago-go/bin/go'; exit 1; }
	$(MAKE) --no-print-directory TAMAGO= BUILD=build/stock build/stock/probe.cpio
	$(MAKE) --no-print-directory BUILD=build/tamago build/tamago/probe.cpio
	@mkdir -p docs
	$(GO) run ./tools/bench toolchains build/stock build/tamago >build/toolchains.md
	mv build/toolchains.md docs/toolchains.md
