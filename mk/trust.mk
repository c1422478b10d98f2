# Signed payloads: the program that signs them, for the tests.

.PHONY: minisign
minisign: ## install the program that signs payloads
	$(call install,minisign)
