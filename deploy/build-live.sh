#!/usr/bin/env bash
# Makes a bootable Debian for machines without a disk: a sample to start from, not a product.
#
#   deploy/build-live.sh [--live-boot] [--arch ARCH] SUITE DIR [PACKAGE...]
#
# writes DIR/linux, DIR/initrd.img and DIR/filesystem.squashfs. Needs the packages mmdebstrap and
# squashfs-tools, and root. With --live-boot the initial RAM disk has Debian's live-boot as well,
# for profiles of `start: live-boot`. ARCH is Debian's name of the workstations' architecture
# (amd64, arm64; usually this host's); another than the host's needs qemu-user-static as well.
#
#   MIRROR=...       a mirror, or a file of apt sources; else the suite's usual one
#   PASSWORD_HASH=   of root (mkpasswd); without it nobody can log in but by what PACKAGE brings
#   HERE=...         where boot-assets/diskless is, when this script is run from elsewhere
set -euo pipefail
# What is made is for others to read, the server first, whatever the caller's own files are.
umask 022

with_live=no
arch=
while [ $# -gt 0 ]; do
    case $1 in
        --live-boot) with_live=yes ;;
        --arch) arch=${2:-} && shift ;;
        *) break ;;
    esac
    shift
done
if [ $# -lt 2 ]; then
    sed -n 's/^#   \(deploy.*\)/usage: \1/p' "$0" >&2
    exit 2
fi
[ -n "$arch" ] || arch=$(dpkg --print-architecture)
# Where Debian has more than one kernel, the one for most machines.
case $arch in
    i386) kernel=linux-image-686-pae ;;
    armhf) kernel=linux-image-armmp ;;
    *) kernel=linux-image-$arch ;;
esac
suite=$1
out=$(mkdir -p "$2" && cd "$2" && pwd)
shift 2
parts=${HERE:-$(cd "$(dirname "$0")/.." && pwd)}/boot-assets/diskless

# libnss-myhostname: each machine has its own name, and knows it without a file.
packages=$kernel,initramfs-tools,zstd,busybox,nbd-client,systemd-sysv,systemd-resolved,libnss-myhostname,dbus,udev,kmod,iproute2,login,passwd
[ $with_live = no ] || packages+=,live-boot,live-boot-initramfs-tools
for package in "$@"; do packages+=,$package; done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/customize" <<'INSIDE'
set -eu
root=$1
install -m 644 "$PARTS/farrier" "$root/usr/share/initramfs-tools/scripts/farrier"
install -m 755 "$PARTS/hook" "$root/usr/share/initramfs-tools/hooks/farrier"
mkdir -p "$root/usr/share/initramfs-tools/scripts/live-premount"
install -m 755 "$PARTS/live-premount" "$root/usr/share/initramfs-tools/scripts/live-premount/farrier"
echo 'MODULES=most' >"$root/etc/initramfs-tools/conf.d/farrier"
echo 'BOOT=local' >>"$root/etc/initramfs-tools/conf.d/farrier"
# The network is up already when the root file system is on it: it must not be taken down.
mkdir -p "$root/etc/systemd/network"
cat >"$root/etc/systemd/network/80-farrier.network" <<'NET'
[Match]
Type=ether
[Network]
DHCP=ipv4
KeepConfiguration=yes
NET
chroot "$root" systemctl --quiet enable systemd-networkd
# Of a machine that the server has no name for.
echo workstation >"$root/etc/hostname"
# Every machine makes its own at its first start.
: >"$root/etc/machine-id"
if [ -n "${PASSWORD_HASH:-}" ]; then
    echo "root:$PASSWORD_HASH" | chroot "$root" chpasswd -e
fi
chroot "$root" update-initramfs -u -k all
cp "$root"/boot/vmlinuz-* "$OUT/linux.new"
cp "$root"/boot/initrd.img-* "$OUT/initrd.img.new"
# They come by TFTP or HTTP and are of no use inside.
rm -f "$root"/boot/vmlinuz-* "$root"/boot/initrd.img-*
INSIDE

PARTS=$parts OUT=$out PASSWORD_HASH=${PASSWORD_HASH:-} mmdebstrap --quiet --variant=minbase \
    --architectures="$arch" --include="$packages" --customize-hook="sh $work/customize \"\$1\"" \
    --aptopt='Apt::Install-Recommends "false"' \
    "$suite" "$work/root.tar" ${MIRROR:+"$MIRROR"}
mkdir "$work/root"
tar -C "$work/root" --numeric-owner -xf "$work/root.tar" && rm "$work/root.tar"
mksquashfs "$work/root" "$out/filesystem.squashfs.new" -noappend -quiet -no-progress -comp zstd >/dev/null
for file in linux initrd.img filesystem.squashfs; do
    chmod 644 "$out/$file.new"
    mv "$out/$file.new" "$out/$file"
done
echo "made in $out:"
ls -lh "$out"
