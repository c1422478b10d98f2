# Signed payloads: the program that signs them, for the tests.

.PHONY: minisign
minisign:
	$(call install,minisign)
