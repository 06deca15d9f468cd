#!/usr/bin/env bash
# Prepares DIR for the scenario debian-install: the installer, and a suite of the parts that it loads.
#
#   deploy/lab/debian-mirror.sh DIR
#
# makes DIR/boot/{linux,initrd.gz} and DIR/debian/dists/lab (parts of the installer, udebs). The packages
# of the system itself are not here: the lab's mirror fetches them from the archive that this host's apt
# uses, when they are asked for, and they stay in DIR (deploy/lab/src/mirror.rs). Only files are written,
# below DIR; nothing is installed.
#
# The suite of the udebs is ours for two reasons. Not every copy of Debian's archive has all udebs; and
# of the kernel's, only those of the newest point release fit the installer. So what has to do with
# the kernel, and mke2fs, is repacked here from the ordinary packages of the same source. What is
# installed is Debian's own suite, with Debian's own signatures.
set -euo pipefail

if [ $# -ne 1 ]; then
    sed -n 's/^#   \(deploy.*\)/usage: \1/p' "$0" >&2
    exit 2
fi
installer=13            # of which release the installer is ...
installer_suite=trixie  # ... and its suite
target_suite=bookworm   # what is installed; its mke2fs makes file systems that its GRUB can read
udebs=(apt-mirror-setup apt-setup-udeb base-installer bootstrap-base clock-setup debootstrap-udeb
    di-utils-mapdevfs disk-detect dmidecode-udeb dosfstools-udeb finish-install fuse3-udeb grub-installer
    grub-mount-udeb libbsd0-udeb libdevmapper1.02.1-udeb libfuse3-4-udeb libmd0-udeb libparted-fs-resize0-udeb
    libparted2-udeb os-prober-udeb parted-udeb partman-auto partman-base partman-basicfilesystems
    partman-basicmethods partman-efi partman-ext3 partman-partitioning partman-target partman-utils pkgsel
    rdate-udeb tzsetup-udeb user-setup-udeb)
# With what they depend on.
modules="ext4 virtio_blk virtio_scsi virtio_pci sd_mod sr_mod ahci ata_piix ata_generic nvme usb-storage
    vfat nls_ascii nls_cp437 nls_iso8859-1 efivarfs loop isofs dm-mod"

dir=$(mkdir -p "$1" && cd "$1" && pwd)
suite=$dir/debian/dists/lab
work=$(mktemp -d)
trap 'gpgconf --homedir "$work/gnupg" --kill all 2>/dev/null || true; rm -rf "$work"' EXIT

# shellcheck disable=SC2016 # the dollars are apt's
archive=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's,^Debian \(.*[^/]\)/*$,\1,p' | sort -u | sed q)
[ -n "$archive" ] || { echo 'debian-mirror: apt of this host knows no archive of Debian' >&2; exit 1; }

# A state of apt's own, so that this host's is not touched.
apt() {
    local command=$1
    shift
    "$command" -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User=root -o APT::Architecture=amd64 -o APT::Architectures::=amd64 "$@"
}
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs"
for name in $installer_suite $target_suite; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $name main"
done >"$work/sources.list"
apt apt-get update
# unpacked PACKAGE[/SUITE] ROOT
unpacked() {
    (cd "$work/debs" && rm -f ./*.deb && apt apt-get download "$1" && dpkg -x ./*.deb "$2" && rm -f ./*.deb)
}

unpacked debian-installer-$installer-netboot-amd64/$installer_suite "$work/installer"
mkdir -p "$dir/boot"
for file in linux initrd.gz; do
    cp "$work/installer/usr/lib/debian-installer/images/$installer/amd64/text/debian-installer/amd64/$file" "$dir/boot/$file"
done
kernel=$(zcat "$dir/boot/initrd.gz" | cpio -t --quiet | sed -n 's,.*lib/modules/\([^/]*\)$,\1,p' | sort -u | sed q)

rm -rf "$suite"
mkdir -p "$suite/main/debian-installer/binary-amd64" "$dir/debian/pool/lab"
packages=$suite/main/debian-installer/binary-amd64/Packages

# Debian's own parts, by name; the last of several versions is the newest.
/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
    "$archive/dists/$installer_suite/main/debian-installer/binary-amd64/Packages.xz" "$work/Packages.xz" >/dev/null
xz -dc "$work/Packages.xz" | awk -v names="${udebs[*]}" '
    BEGIN { RS = ""; ORS = "\n\n"; FS = "\n"; n = split(names, list, " "); for (i = 1; i <= n; i++) wanted[list[i]] = 1 }
    { name = substr($1, 10); if (name in wanted) found[name] = $0 }
    END {
        for (name in found) print found[name]
        for (name in wanted) if (!(name in found)) { print "debian-mirror: no " name > "/dev/stderr"; bad = 1 }
        exit bad
    }' >"$packages"

# repacked NAME ROOT FIELDS   makes a udeb of ROOT and lists it
repacked() {
    local name=$1 root=$2 fields=$3 file
    mkdir -p "$root/DEBIAN"
    printf 'Package: %s\nVersion: 1+lab\nArchitecture: amd64\nMaintainer: the lab <root@localhost>\nSection: debian-installer\n%s\nDescription: repacked for the lab\n' \
        "$name" "$fields" >"$root/DEBIAN/control"
    file=$dir/debian/pool/lab/$name.udeb
    dpkg-deb --root-owner-group -Zxz -b "$root" "$file" >/dev/null
    {
        dpkg-deb -f "$file"
        printf 'Filename: pool/lab/%s.udeb\nSize: %s\nSHA256: %s\n\n' "$name" "$(stat -c %s "$file")" "$(sha256sum <"$file" | cut -d' ' -f1)"
    } >>"$packages"
}

unpacked linux-image-"$kernel"/$installer_suite "$work/kernel"
tree=$work/kernel
[ ! -d "$tree/usr/lib/modules" ] || tree=$work/kernel/usr
depmod -b "$tree" "$kernel"
for module in $modules; do
    # A module that is built in has no file; one that nobody has would fail the installation, visibly.
    grep -E "(^|/)${module//[-_]/[-_]}\.ko[^:]*:" "$tree/lib/modules/$kernel/modules.dep" | tr -d : | tr ' ' '\n' || true
done | sort -u | while read -r file; do
    [ -z "$file" ] || install -D -m 644 "$tree/lib/modules/$kernel/$file" "$work/modules/usr/lib/modules/$kernel/$file"
done
repacked storage-modules-"$kernel"-di "$work/modules" \
    "Priority: standard
Kernel-Version: $kernel
Provides: ext2-modules, ext3-modules, ext4-modules, fat-modules, scsi-modules, efi-modules, loop-modules"

for package in e2fsprogs libext2fs2 libcom-err2 libss2; do
    unpacked $package/$target_suite "$work/e2fsprogs"
done
root=$work/e2fsprogs-udeb
mkdir -p "$root/usr/lib" "$root/usr/sbin" "$root/etc"
find "$work/e2fsprogs" -name 'lib*.so.*' -exec cp -P -t "$root/usr/lib" {} +
find "$work/e2fsprogs" \( -name 'mk*fs*' -o -name '*fsck*' -o -name tune2fs -o -name resize2fs \) -path '*/sbin/*' -exec cp -P -t "$root/usr/sbin" {} +
find "$work/e2fsprogs" -name mke2fs.conf -exec cp -t "$root/etc" {} +
# The partitioner wants ntfs-3g for disks that have Windows on them. These have not.
repacked e2fsprogs-udeb "$root" "Priority: optional
Depends: libblkid1-udeb, libc6-udeb, libuuid1-udeb
Provides: ntfs-3g-udeb"

{
    printf 'Origin: Farrier lab\nLabel: lab\nSuite: lab\nCodename: lab\nArchitectures: amd64\nComponents: main\nSHA256:\n'
    (cd "$suite" && printf ' %s %s %s\n' "$(sha256sum <"${packages#"$suite/"}" | cut -d' ' -f1)" \
        "$(stat -c %s "${packages#"$suite/"}")" "${packages#"$suite/"}")
} >"$suite/Release"
# Signed by a key that lives as long as this script. The installer knows it beside Debian's, as it would
# that of a company with parts of its own: by a keyring behind its initial RAM disk.
export GNUPGHOME=$work/gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-gen-key 'Farrier lab' rsa3072 sign never 2>"$work/gpg.log" ||
    { cat "$work/gpg.log" >&2; exit 1; }
gpg --batch --quiet --detach-sign -o "$suite/Release.gpg" "$suite/Release"
mkdir -p "$work/more/usr/share/keyrings"
{
    zcat "$dir/boot/initrd.gz" | cpio -i --quiet --to-stdout usr/share/keyrings/debian-archive-keyring.pgp
    gpg --export 'Farrier lab'
} >"$work/more/usr/share/keyrings/archive.gpg"
(cd "$work/more" && find usr | cpio -o --quiet -H newc -R 0:0 | gzip -9) >>"$dir/boot/initrd.gz"
echo "installer of kernel $kernel, $(grep -c ^Package: "$packages") udebs, in $dir"
