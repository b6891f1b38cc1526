#!/bin/sh
# Builds rng.o, timeout.o and utils.o into the directory given (default: here).
# Programs link them by path, so each must stand alone: position-independent,
# and with nothing undefined but functions of the C library.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
rustc=${RUSTC:-rustc}
allowed='^(clock_gettime|memset|memcpy|memmove|memcmp|bcmp|strlen|write|_GLOBAL_OFFSET_TABLE_)$'

mkdir -p "$out"
for name in rng timeout utils; do
    "$rustc" --edition 2024 --crate-name "tas_$name" --crate-type lib \
        -C opt-level=3 -C panic=abort -C relocation-model=pic \
        -C codegen-units=1 -C embed-bitcode=no \
        --emit "obj=$out/$name.o" "$here/objects/$name.rs"
    undefined=$(nm -u "$out/$name.o" | awk '{ print $2 }' | grep -Ev "$allowed" || true)
    if [ -n "$undefined" ]; then
        echo "$out/$name.o needs more than the C library: $undefined" >&2
        exit 1
    fi
done
