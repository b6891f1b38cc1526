#!/bin/sh
# What the Makefile says when DPDK is missing.
set -e
cd "$(dirname "$0")/../.."
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT

# expect TEXT ARG...: make with the arguments fails, with one line of its own
# that contains the text.
expect() {
    text=$1
    shift
    if output=$(make -s "$@" 2>&1); then
        echo "make $* succeeds without DPDK" >&2
        exit 1
    fi
    lines=$(printf '%s\n' "$output" | grep -vc '^make') || true
    if [ "$lines" != 1 ] || ! printf '%s\n' "$output" | grep -qF "$text"; then
        printf 'make %s: not one line with "%s":\n%s\n' "$*" "$text" "$output" >&2
        exit 1
    fi
}

expect "looked for libdpdk.pc in $empty/lib/pkgconfig $empty/lib/x86_64-linux-gnu/pkgconfig" \
    RTE_SDK="$empty"
export PKG_CONFIG_LIBDIR="$empty"
expect 'no DPDK found: looked for libdpdk.pc' RTE_SDK=
echo 'make: ok'
