#!/usr/bin/env bash
# Checks that need no running of anything: format, lints, arrows between rooms, licences, scripts.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

failed=()
# check NAME COMMAND...
check() {
    local name=$1
    shift
    if "$@"; then
        echo "lint: ok      $name"
    else
        echo "lint: FAILED  $name"
        failed+=("$name")
    fi
}

# Names of a crate's normal dependencies, with everything below them.
tree() { cargo tree --quiet --locked -p "$1" --edges normal --prefix none --format '{p}' | awk '{print $1}' | sort -u; }

# Sans-io rooms take bytes and a time and return bytes: no runtime, no sockets, no SQL.
sans_io() {
    local room bad status=0
    for room in bootplan answers proxydhcp tftp media; do
        bad=$(tree "$room" | grep -xE 'tokio|mio|async-std|smol|axum|hyper|hyper-util|sqlx|socket2|nix|rustix|libc-net|reqwest') && {
            echo "crates/$room must stay sans-io, but depends on: $(tr '\n' ' ' <<<"$bad")"
            status=1
        }
    done
    return $status
}

# Rooms depend on each other only along the arrows of docs/ARCHITECTURE.md.
arrows() {
    local status=0 room allowed found arrow
    declare -A may=(
        [bootplan]=""
        [tftp]=""
        [answers]="bootplan"
        [proxydhcp]="bootplan"
        [media]="bootplan"
        [bootfiles]="answers bootplan media"
        [store]="bootplan"
        [reach]="bootplan"
        [fetch]="bootfiles bootplan reach"
        [web]="answers bootfiles bootplan fetch media reach store"
        [farrier]="answers bootfiles bootplan fetch media proxydhcp reach store tftp web"
        [testkit]="bootplan proxydhcp tftp"
        [lab]="bootplan"
        [bench]="lab testkit"
    )
    for manifest in crates/*/Cargo.toml deploy/*/Cargo.toml; do
        room=$(basename "$(dirname "$manifest")")
        if [ -z "${may[$room]+known}" ]; then
            echo "$manifest: room '$room' has no line in the arrows of deploy/lint.sh"
            status=1
            continue
        fi
        allowed=" ${may[$room]} "
        found=$(awk '/^\[/ { on = ($0 == "[dependencies]") } on && /^[a-z]/ { sub(/[ .=].*/, ""); print }' "$manifest")
        for arrow in $found; do
            [ -n "${may[$arrow]+ours}" ] || continue
            [[ $allowed == *" $arrow "* ]] || {
                echo "$manifest: $room must not depend on $arrow"
                status=1
            }
        done
    done
    return $status
}

# Nothing committed may name a package registry's host, nor a path of somebody's machine.
portable() {
    ! git grep -nIE \
        -e 'npmj[s]\.org|(static|index)\.crate[s]\.io|(deb|security)\.debia[n]\.org|pythonhoste[d]\.org' \
        -e '(^|[^[:alnum:]_.])/wor[k]/|/hom[e]/[a-z]|/tm[p]/farrier/' \
        -- . ':!Cargo.lock'
}

# Only a warning: a file beyond 600 lines deserves a hard look.
long_files() {
    git ls-files -- '*.rs' '*.sh' '*.js' '*.mjs' '*.css' | while read -r file; do
        lines=$(wc -l <"$file")
        [ "$lines" -le 600 ] || echo "lint: warning: $file has $lines lines"
    done
}

scripts() {
    git ls-files -z -- '*.sh' .ci/run | xargs -0 shellcheck &&
        shellcheck -s sh boot-assets/diskless/* deploy/lab/payload/{init,lease,install,rcS}
}

licences() { cargo deny --locked --log-level error check bans licenses sources; }

check "format (cargo fmt)" cargo fmt --all --check
check "sans-io rooms" sans_io
check "arrows between rooms" arrows
check "no registry hosts or machine paths" portable
if command -v shellcheck >/dev/null; then
    check "scripts (shellcheck)" scripts
else
    echo "lint: skipped scripts: shellcheck is not installed"
fi
if command -v cargo-deny >/dev/null; then
    check "licences, bans and sources (cargo-deny)" licences
else
    echo "lint: skipped licences, bans and sources: cargo-deny is not installed (cargo install --locked cargo-deny)"
fi
check "lints (clippy)" cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
long_files

if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: ${#failed[@]} failed: ${failed[*]}"
    exit 1
fi
echo "lint: all checks passed"
