#!/bin/sh
# What the Makefile says when DPDK is missing, and that `make help` is complete.
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

# shown WHAT NAMES: each is at the beginning of one line of `make help`.
shown() {
    for name in $2; do
        times=$(make -s help | grep -c "^  $name  *[^ ]") || true
        if [ "$times" != 1 ]; then
            echo "make help shows the $1 $name $times times" >&2
            exit 1
        fi
    done
}

# All that can be asked for by name; some are only steps on the way.
targets=$(sed -n '/^\.PHONY:/,/[^\\]$/p' Makefile | tr -s ':\\\t\n' ' ' |
    sed 's/\.PHONY//; s/ products / /; s/ rust / /; s/ dpdk / /')
[ "$(echo "$targets" | wc -w)" -gt 30 ]
shown target "$targets"
variables=$(sed -n 's/^\([A-Z_]*\) ?=.*/\1/p' Makefile)
[ "$(echo "$variables" | wc -w)" -gt 10 ]
shown variable "$variables"
echo 'make: ok'
