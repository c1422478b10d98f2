# Real Linux: the kernels and upstream's selftests that the real-kernel suite boots (linux/kernels.sh says how and where from).

LINUX := build/linux

.PHONY: kernels linux-tools

kernels: linux-tools ## build Linux and its liveupdate selftests into build/linux
	linux/kernels.sh $(LINUX)

# What building Linux and its selftests takes. Installed when a command or header is missing, as root or through sudo.
LINUX_PACKAGES := gcc libc6-dev make flex bison bc libelf-dev libssl-dev xz-utils debian-archive-keyring

linux-tools:
	@dpkg-query -W -f '$${db:Status-Status}\n' $(LINUX_PACKAGES) 2>&1 | grep -qv '^installed$$' || exit 0; \
	echo "installing $(LINUX_PACKAGES)"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(LINUX_PACKAGES)
