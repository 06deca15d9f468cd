#!/usr/bin/env bash
# Farrier on this host's real network interfaces, from this source tree: builds it, fetches loaders
# and sample images, serves, and at the first start brings in the sample profiles.
#
#   deploy/run.sh [DATA_DIRECTORY]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-/var/lib/farrier}
farrier=${CARGO_TARGET_DIR:-target}/release/farrier

if [ "$(id -u)" -ne 0 ]; then
    echo "run: ports 67, 69 and 80 need root: sudo make run" >&2
    exit 1
fi
deploy/setup.sh build
cargo build --locked --release -p farrier

config=$(mktemp)
trap 'rm -f "$config"' EXIT
echo "data_dir: $data" >"$config"
"$farrier" --config "$config" assets sync || echo "run: going on with what there is"
first=no
[ -e "$data/farrier.db" ] || first=yes

"$farrier" --config "$config" serve &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" || true; rm -f "$config"' EXIT
if [ "$first" = yes ]; then
    for _ in $(seq 100); do
        if "$farrier" --config "$config" status >/dev/null 2>&1; then
            "$farrier" --config "$config" apply -f configs/profiles
            break
        fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
fi
wait "$server"
