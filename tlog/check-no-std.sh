#!/usr/bin/env bash
# Builds tlog and its dependencies against a sysroot that holds core, alloc and compiler_builtins and nothing else, so
# that neither they nor we can reach files, clocks, threads or randomness. Then shows that the check can fail: crates that
# use std must not build in the same way.
#
# Build scripts and procedural macros run on this machine and need std. They are compiled against the ordinary sysroot,
# because with --target cargo applies RUSTFLAGS to the target's crates alone.
set -euo pipefail

cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
rustc=${RUSTC:-rustc}
host=$("$rustc" -vV | sed -n 's/^host: //p')
libs=$("$rustc" --print sysroot)/lib/rustlib/$host/lib

# A directory of its own, because the flags differ from those of every other build; absolute, because they name it.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/no-std
mkdir -p "$CARGO_TARGET_DIR"
CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd)
sysroot=$CARGO_TARGET_DIR/sysroot
probe=$CARGO_TARGET_DIR/probe
rm -rf "$sysroot" "$probe"
mkdir -p "$sysroot/lib/rustlib/$host/lib" "$probe/src"
for crate in core alloc compiler_builtins; do
    cp "$libs/lib$crate"-*.r* "$sysroot/lib/rustlib/$host/lib/"
done
export RUSTFLAGS="--sysroot=$sysroot"

"$cargo" build --quiet --locked --package tlog --lib --target "$host"

printf '[package]\nname = "probe"\nedition = "2024"\n[workspace]\n' >"$probe/Cargo.toml"
builds() {
    printf '%s\n' "$1" >"$probe/src/lib.rs"
    "$cargo" build --quiet --offline --manifest-path "$probe/Cargo.toml" --target "$host" 2>"$probe/log"
}
broken() {
    cat "$probe/log" >&2
    echo "error: the check of tlog without std says nothing: $1" >&2
    exit 1
}
builds '#![no_std] extern crate alloc; pub fn f() -> alloc::vec::Vec<u8> { alloc::vec::Vec::new() }' || broken "a crate that needs only alloc does not build"
for source in 'pub fn f() {}' '#![no_std] extern crate std; pub fn f() -> std::time::Instant { std::time::Instant::now() }'; do
    builds "$source" && broken "this crate uses std and builds: $source"
    grep -q "can't find crate for .std" "$probe/log" || broken "this crate does not build, but not for want of std: $source"
done
echo "tlog builds with nothing but core and alloc; two crates that use std do not"
