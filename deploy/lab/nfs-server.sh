#!/usr/bin/env bash
# An NFS server for the lab: Debian's nfs-ganesha with rpcbind, unpacked and not installed, since the
# packages would start services of this host.
#
#   deploy/lab/nfs-server.sh fetch DIR          unpacks them below DIR
#   deploy/lab/nfs-server.sh serve DIR FILE     serves what FILE exports (EXPORT { ... } of ganesha.conf), in namespaces
#                                               of its caller's making
set -euo pipefail

packages=(nfs-ganesha nfs-ganesha-vfs libntirpc4.3 liburcu8 libwbclient0 libnfsidmap1 libwrap0 nfs-common rpcbind)

case ${1:-} in
    fetch)
        [ ! -e "$2/complete" ] || exit 0
        rm -rf "$2"
        mkdir -p "$2/debs" "$2/root"
        (cd "$2/debs" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}")
        for package in "$2"/debs/*.deb; do dpkg -x "$package" "$2/root"; done
        # rpcbind gives its rights up to a user that its package makes.
        cp /etc/passwd "$2/root/etc/passwd"
        echo '_rpc:x:106:65534::/run/rpcbind:/usr/sbin/nologin' >>"$2/root/etc/passwd"
        touch "$2/complete"
        ;;
    serve)
        root=$(cd "$2/root" && pwd)
        exports=$(cd "$(dirname "$3")" && pwd)/${3##*/}
        work=$(mktemp -d)
        trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
        # Seen by this process and its children only: the caller has made a mount namespace for them.
        mount --make-rprivate /
        for dir in usr etc; do
            mount -t overlay overlay -o "lowerdir=$root/$dir:/$dir" "/$dir"
        done
        mount -t tmpfs tmpfs /run
        mkdir -p /run/rpcbind
        mkdir "$work/recovery"
        cat - "$exports" >"$work/ganesha.conf" <<END
NFS_CORE_PARAM { Protocols = 3, 4; Enable_NLM = false; Enable_RQUOTA = false; mount_path_pseudo = true; }
NFSV4 { RecoveryBackend = fs; RecoveryRoot = $work/recovery; Graceless = true; }
END
        "$root/sbin/rpcbind" -f -w &
        ganesha.nfsd -F -L /dev/stdout -f "$work/ganesha.conf" -p "$work/pid" &
        wait -n
        ;;
    *)
        sed -n 's/^#   \(deploy.*\)/usage: \1/p' "$0" >&2
        exit 2
        ;;
esac
