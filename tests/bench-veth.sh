#!/bin/bash
# Which kind of DPDK port and which MTU serve best on a veth pair: the demo's
# measurement with each, and with Linux sockets. Needs root; `sudo make
# bench-veth` builds and calls it. doc/performance.md has its results.
#
#   tests/bench-veth.sh [PORT...]
#
# PORT: linux (sockets, no service), af_packet, af_packet_bypass (past the
# interface's queueing discipline), af_xdp, tap (bridged to the veth); all by
# default. Environment: TAS_BENCH_MTUS, TAS_BENCH_SIZES, TAS_BENCH_SECONDS (for
# each value), TAS_DEMO_POLL (microseconds).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
script=bench-veth
# shellcheck source=tests/veth/lib.sh
. tests/veth/lib.sh

seconds=${TAS_BENCH_SECONDS:-2}
mtus=${TAS_BENCH_MTUS:-1500 3400 9000 16000 32000}
sizes=${TAS_BENCH_SIZES:-64 1024 8192}
ports=("$@")
[ $# -gt 0 ] || ports=(linux af_packet af_packet_bypass af_xdp tap)
connections=4
pipelined=16

# The kernel refuses XDP on a veth pair with larger MTUs.
xdp_mtu=3506

# vdev_of PORT: sets vdev.
vdev_of() {
    case $1 in
    af_packet) vdev=net_af_packet0,iface=veth0 ;;
    af_packet_bypass) vdev=net_af_packet0,iface=veth0,qdisc_bypass=1 ;;
    af_xdp) vdev=net_af_xdp0,iface=veth0 ;;
    tap) vdev=net_tap0,iface=tap0 ;;
    *) fail "no such port: $1" ;;
    esac
}

# Joins the service's tap0 and the veth. The service keeps the address that
# tap0 was made with; a bridge would take frames to it for its own.
bridge_tap() {
    on "$tas_side" sh -ec "
        ip link set tap0 mtu $1 address 02:00:00:00:00:88
        ethtool -K tap0 tx off rx off tso off gso off gro off >/dev/null
        ip link add br0 mtu $1 type bridge
        for name in veth0 tap0; do ip link set \$name master br0 up; done
        ip link set br0 up"
    sleep 0.5
}

# measure STACK: prints a row.
measure() {
    local size
    for size in $sizes; do
        echo_server "$1" "$size"
        load "$size" 1 1
        printf ' %10s' "$messages_s"
        load "$size" "$pipelined" "$connections"
        printf ' %10s' "$messages_s"
        stop_server
    done
    echo
}

check_needs
printf '%-16s %6s' port MTU
for size in $sizes; do
    printf ' %10s %10s' "$size x 1" "$size x $((connections * pipelined))"
done
printf '   (messages/s by bytes and number in flight)\n'
for mtu in $mtus; do
    for name in "${ports[@]}"; do
        printf '%-16s %6s' "$name" "$mtu"
        if [ "$name" = af_xdp ] && [ "$mtu" -gt $xdp_mtu ]; then
            echo " (refused by the kernel)"
            continue
        fi
        make_machines "$mtu"
        if [ "$name" = linux ]; then
            on "$tas_side" ip addr add "$tas_ip/24" dev veth0
            measure linux
        else
            vdev_of "$name"
            service_options "$vdev"
            start_service
            [ "$name" != tap ] || bridge_tap "$mtu"
            measure ll
            stop "$tas_pid" || fail "the service ended with status $?"
        fi
        end_all
    done
done
