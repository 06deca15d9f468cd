#!/usr/bin/env bash
# Installs the Debian packages that the given make targets need, and nothing that is there already.
#
#   deploy/setup.sh build demo test lint bench      any of them; 'build' is always included
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
# need PACKAGE FILE...   wants PACKAGE unless every FILE exists (a FILE without '/' is a command)
need() {
    local package=$1 file
    shift
    for file in "$@"; do
        case $file in
            */*) [ -e "$file" ] && continue ;;
            *) PATH="$PATH:/usr/sbin:/sbin" command -v "$file" >/dev/null && continue ;;
        esac
        packages+=("$package")
        return
    done
}

lan() {
    need iproute2 ip
    need ethtool ethtool
    need dnsmasq-base dnsmasq
    need qemu-system-x86 qemu-system-x86_64
    need ipxe-qemu /usr/lib/ipxe/qemu/pxe-e1000.rom
    need ovmf /usr/share/OVMF/OVMF_CODE_4M.fd
}

need build-essential cc make
need ca-certificates /etc/ssl/certs/ca-certificates.crt
browser=no
peers=no
redfish=no
checkers=no
for part in "$@"; do
    case $part in
        build) ;;
        demo) lan ;;
        test)
            lan
            need busybox busybox
            need gnupg gpg
            need cpio cpio
            need kmod depmod
            need squashfs-tools mksquashfs
            need mmdebstrap mmdebstrap
            need nbdkit nbdkit
            need e2fsprogs mke2fs
            need tcpdump tcpdump
            need tftp-hpa tftp
            need atftp atftp
            need curl curl
            need xorriso xorriso
            need genisoimage genisoimage
            need ignition ignition-validate
            need cloud-init cloud-init
            need libxml2-utils xmllint
            need grub-common grub-script-check
            need openssl openssl
            need gpg gpg
            need gpg-agent gpgconf gpg-agent
            need gpgv gpgv
            need python3-venv /usr/lib/python3.11/ensurepip/__main__.py
            redfish=yes
            checkers=yes
            need postgresql /usr/lib/postgresql/15/bin/postgres
            need chromium chromium
            need nodejs node
            browser=yes
            ;;
        lint) need shellcheck shellcheck ;;
        bench)
            need iproute2 ip
            need ethtool ethtool
            need dnsmasq-base dnsmasq
            peers=yes
            ;;
        *)
            echo "setup: '$part' is none of build, demo, test, lint, bench" >&2
            exit 2
            ;;
    esac
done

# install PACKAGE...   as root, quietly unless it fails; the package lists are fetched once
listed=no
install() {
    if [ "$(id -u)" -ne 0 ]; then
        echo "setup: these Debian packages are missing: $*" >&2
        echo "setup: run as root, or first: sudo apt-get install --no-install-recommends $*" >&2
        exit 1
    fi
    echo "setup: installing $*"
    export DEBIAN_FRONTEND=noninteractive
    # postgresql must not make a database cluster and start it: the tests start their own.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    if [ $listed = no ]; then
        quiet apt-get -q update
        listed=yes
    fi
    quiet apt-get -qy install --no-install-recommends "$@"
}
quiet() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        echo "setup: '$*' failed, see above" >&2
        exit 1
    fi
    rm -f "$log"
}

if [ ${#packages[@]} -gt 0 ]; then
    install "${packages[@]}"
fi
# Some builds of nodejs bring npm, and then Debian's npm conflicts with them: look again first.
if [ "$browser" = yes ] && ! command -v npm >/dev/null; then
    install npm
fi

if ! command -v cargo >/dev/null; then
    echo "setup: no Rust toolchain (cargo) in PATH: install Rust 1.95 or later, then run this again" >&2
    exit 1
fi

if [ "$browser" = yes ] && [ ! web/tests/node_modules/.package-lock.json -nt web/tests/package-lock.json ]; then
    echo "setup: installing the browser test's only dependency (playwright-core; no browser is downloaded)"
    (cd web/tests && npm ci --loglevel=error)
    touch web/tests/node_modules/.package-lock.json
fi

# OpenStack's Redfish emulator with its fake machines, for the tests of power switches. Nothing else
# uses it, so it stays in a directory of its own.
if [ "$redfish" = yes ] && [ ! -e .lab/sushy/complete ]; then
    echo "setup: installing sushy-tools into .lab/sushy"
    mkdir -p .lab
    rm -rf .lab/sushy
    quiet python3 -m venv .lab/sushy
    quiet .lab/sushy/bin/pip install --quiet --disable-pip-version-check sushy-tools==2.2.0
    touch .lab/sushy/complete
fi

# Anaconda's own checker of kickstarts, of which Debian has no package.
if [ "$checkers" = yes ] && [ ! -e .lab/checkers/complete ]; then
    echo "setup: installing pykickstart into .lab/checkers"
    mkdir -p .lab
    rm -rf .lab/checkers
    quiet python3 -m venv .lab/checkers
    quiet .lab/checkers/bin/pip install --quiet --disable-pip-version-check pykickstart==3.78
    touch .lab/checkers/complete
fi

# The servers that the benchmark compares with. They are unpacked, not installed: their packages
# would start daemons, and two of them want the same port. One that cannot be had is left out, and
# the benchmark says that it is absent.
unpacked() {
    # A root for each: atftpd's package has an in.tftpd, too.
    local package=$1 file=$2 root=.lab/peers/$1
    [ -e "$root/$file" ] && return
    echo "setup: unpacking $package into $root"
    mkdir -p "$root" .lab/peers/debs
    if (cd .lab/peers/debs && rm -f "${package}"_*.deb && apt-get -qq -o APT::Sandbox::User=root download "$package") &&
        dpkg -x .lab/peers/debs/"$package"_*.deb "$root" && [ -e "$root/$file" ]; then
        return
    fi
    echo "setup: no $package: the benchmark goes on without it" >&2
}
built() {
    local program=$1
    shift
    [ -x ".lab/peers/cargo/bin/$program" ] && return
    echo "setup: building $program into .lab/peers/cargo"
    CARGO_TARGET_DIR=$PWD/.lab/peers/target cargo install --quiet --locked --no-track --root .lab/peers/cargo "$@" ||
        echo "setup: no $program: the benchmark goes on without it" >&2
}
if [ "$peers" = yes ]; then
    if [ ! -e .lab/peers/nginx/usr/sbin/nginx ] && [ "$listed" = no ] && [ "$(id -u)" -eq 0 ]; then
        quiet apt-get -q update
    fi
    unpacked atftpd usr/sbin/atftpd
    unpacked tftpd-hpa usr/sbin/in.tftpd
    unpacked libwrap0 usr/lib/x86_64-linux-gnu/libwrap.so.0
    unpacked nginx usr/sbin/nginx
    built tftpd --version 1.0.0 tftpd
    built async-tftp-peer --path deploy/bench/peers/async-tftp
    built servedir-peer --path deploy/bench/peers/servedir
fi
