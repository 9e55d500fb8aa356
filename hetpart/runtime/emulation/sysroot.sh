#!/bin/sh
# Prepare the arm64 root that hetpart.runtime.emulate runs phone bundles in: Debian's aarch64 PoCL below one folder.
#
#   usage: sysroot.sh [DIR]        DIR defaults to ${XDG_CACHE_HOME:-~/.cache}/hetpart/sysroot-arm64
#
# Needs, on a Debian or Ubuntu machine: apt-get install qemu-user-static binutils-aarch64-linux-gnu
# Uses an apt state of its own, so the machine's package lists and foreign architectures stay untouched. About 85 MB
# are downloaded and 500 MB unpacked. A finished root is recognised and left alone.
set -eu

root=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/hetpart/sysroot-arm64}
stamp=$root/.hetpart-sysroot
format=1

if [ "$(cat "$stamp" 2>/dev/null)" = "$format" ]; then
    echo "$root: ready"
    exit 0
fi
for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "sysroot.sh: $tool not found: this script needs Debian or Ubuntu" >&2; exit 1; }
done
qemu=$(command -v qemu-aarch64-static) || { echo "sysroot.sh: missing package: qemu-user-static" >&2; exit 1; }
ld=$(command -v aarch64-linux-gnu-ld) || { echo "sysroot.sh: missing package: binutils-aarch64-linux-gnu" >&2; exit 1; }

mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/root"
: >"$work/apt/status"

cat >"$work/apt/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::State::Lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt";
Dir::Cache::Archives "$work/apt/archives";
DPkg::Post-Invoke "";
CONF
export APT_CONFIG="$work/apt/apt.conf"
apt-get -q update
apt-get -q -y --download-only install pocl-opencl-icd ocl-icd-libopencl1
for package in "$work"/apt/archives/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done
unset APT_CONFIG
for folder in bin lib lib64; do # newer releases have everything below /usr, and links that no package brings
    if [ ! -e "$work/root/$folder" ]; then
        mkdir -p "$work/root/usr/$folder"
        ln -s "usr/$folder" "$work/root/$folder"
    fi
done

# PoCL links each kernel by running `ld`. An emulated process cannot exec an aarch64 program unless the kernel knows
# how (binfmt_misc), so the root gets this machine's cross linker, with the libraries it needs.
linker=$(readlink -f "$work/root/usr/bin/ld")
install -m 755 "$ld" "$work/root/usr/bin/ld.cross"
case $linker in "$work"/root/*) rm -f "$linker" ;; esac
ln -sf ld.cross "$work/root/usr/bin/ld"
ldd "$ld" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$work/root$(dirname "$library")"
    cp -L "$library" "$work/root$library"
done
install -m 755 "$qemu" "$work/root/usr/bin/qemu-aarch64-static"
mkdir -p "$work/root/proc" "$work/root/sys" "$work/root/dev" "$work/root/tmp" "$work/root/hetpart" "$work/root/cache"
echo "$format" >"$work/root/.hetpart-sysroot"

rm -rf "$root"
mv "$work/root" "$root"
echo "$root: ready"
