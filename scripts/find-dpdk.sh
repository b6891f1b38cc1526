#!/bin/sh
# Succeeds when a DPDK to build with is there; otherwise one line says what was
# looked for and where.

oldest=21.11

fail() {
    echo "tas: $1" >&2
    exit 1
}

command -v pkg-config >/dev/null 2>&1 || fail 'pkg-config is missing (make deps installs it)'

if [ -n "$RTE_SDK" ]; then
    dirs="$RTE_SDK/lib/pkgconfig $RTE_SDK/lib/x86_64-linux-gnu/pkgconfig $RTE_SDK/lib64/pkgconfig"
    for dir in $dirs; do
        [ -f "$dir/libdpdk.pc" ] && break
    done
    [ -f "$dir/libdpdk.pc" ] ||
        fail "no DPDK under RTE_SDK=$RTE_SDK: looked for libdpdk.pc in $dirs"
    export PKG_CONFIG_PATH="$dir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
else
    pkg-config --exists libdpdk ||
        fail "no DPDK found: looked for libdpdk.pc in $(
            pkg-config --variable pc_path pkg-config | tr : ' '
        ) ${PKG_CONFIG_PATH:+and PKG_CONFIG_PATH }(make deps installs it; RTE_SDK=PREFIX names another)"
fi

pkg-config --atleast-version="$oldest" libdpdk ||
    fail "DPDK $(pkg-config --modversion libdpdk) is too old: $oldest or newer is needed"
