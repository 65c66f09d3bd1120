#!/usr/bin/env bash
# The main job on loopback, with real packages: a log, three witnesses, two builders, a user, and what each kind of wrong looks like.
# Needs root (or sudo) for containers, and the network for packages alone. Everything it makes is below one directory.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ]; then exec sudo --preserve-env=PATH,TALLY_DEMO_DIR "$0" "$@"; fi
export PATH="$PATH:/usr/sbin:/sbin"

bin=$PWD/${CARGO_TARGET_DIR:-target}/release
[ -n "${CARGO_TARGET_DIR:-}" ] && bin=$CARGO_TARGET_DIR/release
dir=${TALLY_DEMO_DIR:-/var/tmp/tallystick-demo}
origin=demo.example/log
started=$SECONDS
mkdir -p "$dir"
rm -rf "$dir/run"
mkdir -p "$dir/run" "$dir/cache"
cd "$dir/run"

declare -A pid address
results=()
wrong=0

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { echo "error: $*" >&2; exit 1; }

# start NAME PROGRAM ARGUMENTS: starts a server, waits for its first line and remembers process and address.
start() {
    local name=$1; shift
    : >"$name.out"
    "$@" >"$name.out" 2>>"$name.err" &
    pid[$name]=$!
    for _ in $(seq 300); do
        address[$name]=$(sed -n 's/^listening on //p' "$name.out")
        [ -n "${address[$name]}" ] && return 0
        kill -0 "${pid[$name]}" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$name.err" >&2
    die "$name did not start"
}

# stop NAME: asks a server to end and waits for it.
stop() {
    [ -n "${pid[$1]:-}" ] || return 0
    kill "${pid[$1]}" 2>/dev/null || true
    wait "${pid[$1]}" 2>/dev/null || true
    unset "pid[$1]"
}

cleanup() {
    local status=$?
    for name in "${!pid[@]}"; do stop "$name"; done
    [ "$status" -eq 0 ] || echo "the demonstration ended early; its data is in $dir/run" >&2
}
trap cleanup EXIT

# expect STATUS TITLE COMMAND: runs a command, shows what it says, and compares its exit status.
expect() {
    local want=$1 title=$2 got=0; shift 2
    say "$title"
    echo "\$ ${*/#$bin\//}"
    "$@" || got=$?
    echo "exit status $got (expected $want)"
    if [ "$got" -eq "$want" ]; then results+=("ok    $got  $title"); else results+=("WRONG $got  $title (expected $want)"); wrong=1; fi
}
