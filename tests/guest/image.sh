#!/bin/bash
# Builds what `make check-guest` boots: Debian's kernel for clouds, and a file system in memory with
# the service, DPDK and its drivers of NICs, the programs of tests/c/bench, and init beside this
# file. Needs no root.
#
# image.sh DIRECTORY: makes vmlinuz and initramfs in it; what is up to date stays.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)

fail() {
    echo "image.sh: $*" >&2
    exit 1
}

for tool in busybox cpio dpkg-deb apt-get ldd strip; do
    command -v "$tool" >/dev/null || fail "$tool is missing: make deps-guest installs it"
done

# The drivers that DPDK loads, and what else comes from there: the PCI bus, and pools.
drivers="bus_pci bus_vdev mempool_ring net_virtio net_e1000 net_vmxnet3"
modules="irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci uio uio_pci_generic"
products="tas/tas tools/statetool tools/scaletool target/tests/verify_ll target/tests/echoserver_ll"

# The package is taken apart, not installed: this machine need not boot it.
get_kernel() {
    local package deb
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p')
    [ -n "$package" ] || fail "the package linux-image-cloud-amd64 is not known: apt-get update"
    rm -rf "$out/kernel"
    mkdir "$out/kernel"
    (cd "$out/kernel" && apt-get -qq -o APT::Sandbox::User=root download "$package") ||
        fail "cannot download $package"
    deb=$(echo "$out"/kernel/*.deb)
    dpkg-deb --extract "$deb" "$out/kernel"
    rm "$deb"
    mv "$out"/kernel/boot/vmlinuz-* "$out/vmlinuz"
}

[ -e "$out/vmlinuz" ] || get_kernel

tree=$out/tree
n=10
rm -rf "$tree"
mkdir -p "$tree"/{bin,dev,proc,sys,tmp,modules,usr/lib,usr/lib64}
# As Debian has it, so that a library has one place, by whatever path it is found.
ln -s usr/lib usr/lib64 "$tree"

# Copies a file, without what debuggers want, and the libraries that it loads.
add() {
    local file=$1 place=$2 library
    install -D "$file" "$tree$place"
    strip --strip-debug "$tree$place"
    ldd "$file" | sed -n 's/^\t\(.* => \)\?\(\/[^ ]*\) (.*/\2/p' | while read -r library; do
        [ -e "$tree$library" ] || install -D "$library" "$tree$library"
    done
}

busybox=$(command -v busybox)
if ldd "$busybox" >/dev/null 2>&1; then
    fail "busybox is not the static one: make deps-guest installs it"
fi
install "$busybox" "$tree/bin/busybox"
libdir=$(pkg-config --variable=libdir libdpdk)
plugins=$(echo "$libdir"/dpdk/pmds-*)
[ -d "$plugins" ] || fail "DPDK's drivers are not at $plugins"
mkdir -p "$tree$plugins"
for driver in $drivers; do
    library=$(find "$libdir" -maxdepth 1 -name "librte_$driver.so.??" | head -n 1)
    add "$library" "$library"
    # A second copy would be loaded beside the one that other drivers are linked with.
    ln -s "$library" "$tree$plugins/librte_$driver.so"
done
for product in $products; do
    add "$root/$product" "/bin/${product##*/}"
done
for module in $modules; do
    # Modules are loaded in this order.
    file=$(find "$out/kernel" -name "$module.ko")
    [ -n "$file" ] || fail "the kernel has no $module.ko"
    cp "$file" "$tree/modules/$((++n))-$module.ko"
done
install "$here/init" "$tree/init"
(cd "$tree" && find . | cpio --quiet --create --format=newc --owner=root:root) |
    gzip -1 >"$out/initramfs.part"
mv "$out/initramfs.part" "$out/initramfs"
rm -r "$tree"
