#!/bin/sh
# The tests run WebGPU for real: in Chromium, in Firefox, and from Python through Vulkan. Where one is missing, installs
# Debian's packages if it may; otherwise says what to install.
set -eu

has_chromium() {
    [ -n "${CHROMIUM-}" ] || command -v chromium || command -v chromium-browser || command -v google-chrome
}

has_firefox() {
    [ -n "${FIREFOX-}" ] || command -v firefox-esr || command -v firefox
}

has_vulkan() {
    [ "$(uname)" = Darwin ] && return # Metal is part of the system
    ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' &&
        ls /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json 2>/dev/null | grep -q .
}

missing=
has_chromium >/dev/null || missing="chromium"
has_firefox >/dev/null || missing="$missing firefox-esr"
has_vulkan || missing="$missing libvulkan1 mesa-vulkan-drivers"
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "The tests need Chromium, Firefox and a Vulkan driver; please install (as Debian names them):" $missing >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "The tests need Chromium, Firefox and a Vulkan driver; please run: sudo apt-get install" $missing >&2
    exit 1
fi
echo "Installing" $missing
$as_root apt-get update -qq
install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq"
# Firefox decodes H.264 and AAC by a library that it recommends.
case "$missing" in *firefox-esr*) $install firefox-esr ;; esac
$install --no-install-recommends $missing
