# Installing: tool, stage, manual and completion, under $(DESTDIR)$(PREFIX).

PREFIX ?= /usr/local

.PHONY: install
install: $(BUILD)/ferry $(BUILD)/ferry.bzimage ## tool, stage, manual and completion under DESTDIR and PREFIX (/usr/local)
	install -D -m 755 $(BUILD)/ferry $(DESTDIR)$(PREFIX)/sbin/ferry
	install -D -m 644 $(BUILD)/ferry.bzimage $(DESTDIR)$(PREFIX)/lib/ferry/ferry.bzimage
	install -D -m 644 docs/man/ferry.8 $(DESTDIR)$(PREFIX)/share/man/man8/ferry.8
	install -D -m 644 docs/man/ferry-payload.5 $(DESTDIR)$(PREFIX)/share/man/man5/ferry-payload.5
	install -D -m 644 share/ferry.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ferry
