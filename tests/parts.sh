#!/bin/bash
# Installs the real parts that tests start, where they are missing.
set -u
cd "$(dirname "$0")/.."
. tests/stages.sh

tests/libraries.sh &&
	need make make && need git git && need pkill procps && need useradd passwd &&
	need runsv runit && need python3 python3-minimal && need systemd-analyze systemd &&
	need update-ca-certificates ca-certificates &&
	need /usr/sbin/sshd openssh-server && need ssh openssh-client && need scp openssh-client &&
	need fish fish && need tcsh tcsh && need zsh zsh && need busybox busybox-static &&
	need debootstrap debootstrap && need systemd-nspawn systemd-container &&
	need dockerd docker.io && need docker docker.io && need iptables iptables && need rg ripgrep
