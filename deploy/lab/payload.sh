#!/usr/bin/env bash
# Makes the lab's payload: Debian's kernel and an initramfs of our own that stands for an installer
# and for a diskless machine's first steps, and a small root file system for the latter.
#
#   deploy/lab/payload.sh DIR      writes DIR/linux, DIR/initrd and DIR/room.squashfs
#
# Debian packages are unpacked, not installed; nothing of them is kept but what is listed here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "$1" && cd "$1" && pwd)

# What the machines of the lab have, and what a diskless root needs.
modules=(virtio_pci virtio_net virtio_blk virtio_rng e1000 af_packet
    loop squashfs overlay nbd ext4 crc32c_generic)

kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "payload: apt knows no linux-image-amd64: run apt-get update" >&2; exit 1; }
recipe=$(cat "$0" "$here"/payload/* "$here"/../../boot-assets/diskless/farrier | sha256sum)
stamp="$kernel ${recipe%% *}"
if [ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ] && [ -e "$out/room.squashfs" ]; then
    exit 0
fi
echo "payload: making it from $kernel"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# mksquashfs keeps the owner and mode of the top directory.
chmod 755 "$work"

# unpacked PACKAGE...   below $work/debs
unpacked() {
    mkdir -p "$work/debs"
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "$@")
    for deb in "$work"/debs/*.deb; do
        dpkg -x "$deb" "$work/debs" && rm "$deb"
    done
}
unpacked "$kernel" busybox-static nbd-client libnl-genl-3-200
version=${kernel#linux-image-}
debs=$work/debs

# The root of the initramfs.
root=$work/root
mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,tmp,root,etc,scripts,lib/modules/"$version"}
cp "$debs/bin/busybox" "$root/bin/busybox"
install -m 755 "$here/payload/init" "$root/init"
install -m 755 "$here/payload/lease" "$root/scripts/lease"
install -m 644 "$here/payload/install" "$root/scripts/install"
install -m 644 "$here/../../boot-assets/diskless/farrier" "$root/scripts/farrier"

depmod -b "$debs" "$version"
for module in "${modules[@]}"; do
    modprobe -d "$debs" -S "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*$/\1/p'
done | sort -u | while read -r file; do
    cp "$file" "$root/lib/modules/$version/"
done
cp "$debs/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$root/lib/modules/$version/"
depmod -b "$root" "$version"

# nbd-client is no applet of Debian's busybox: the real one, with its libraries.
cp "$debs"/sbin/nbd-client "$root/sbin/"
LD_LIBRARY_PATH=$debs/usr/lib/x86_64-linux-gnu:$debs/lib/x86_64-linux-gnu ldd "$root/sbin/nbd-client" |
    grep -o '/[^ ]*' | while read -r file; do
    install -D -m 755 "$file" "$root/lib/$(basename "$file")"
done
mkdir -p "$root/lib64" && ln -s ../lib/ld-linux-x86-64.so.2 "$root/lib64/"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -6) >"$out/initrd.new"

# The diskless machine's own root: busybox, a getty on the serial line, one user.
room=$work/room
mkdir -p "$room"/{bin,sbin,dev,proc,sys,run,tmp,root,etc,var}
cp "$debs/bin/busybox" "$room/bin/busybox"
ln -s ../bin/busybox "$room/sbin/init"
cp "$here/payload/inittab" "$room/etc/inittab"
install -m 755 "$here/payload/rcS" "$room/etc/rcS"
echo 'root::0:0:root:/root:/bin/sh' >"$room/etc/passwd"
echo 'root:x:0:' >"$room/etc/group"
echo room >"$room/etc/hostname"
mksquashfs "$room" "$out/room.squashfs.new" -noappend -quiet -no-progress -all-root -comp zstd >/dev/null

cp "$debs/boot/vmlinuz-$version" "$out/linux"
mv "$out/initrd.new" "$out/initrd"
mv "$out/room.squashfs.new" "$out/room.squashfs"
chmod 644 "$out"/{linux,initrd,room.squashfs}
echo "$stamp" >"$out/.stamp"
