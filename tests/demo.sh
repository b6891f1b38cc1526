#!/bin/bash
# TAS on real packets: an echo server on the low-level library of TAS in one
# network namespace, a load generator on Linux sockets in another, a veth pair
# between them. Then the same with Linux sockets at both ends. Needs root; no
# huge pages, no NIC. `sudo make demo` builds and calls it.
#
# Port type, MTU and intervals are what doc/performance.md found best on a veth
# pair; both stacks have the same MTU and no offloads.
set -euo pipefail
cd "$(dirname "$0")/.."
# Paths are absolute, since entering a namespace's mounts leaves this directory.
root=$PWD
script=demo
# shellcheck source=tests/veth/lib.sh
. tests/veth/lib.sh

seconds=${TAS_DEMO_SECONDS:-2}
mtu=${TAS_DEMO_MTU:-9000}
sizes="64 1024 8192"
connections=4
pipelined=16

check_needs
echo "* Two network namespaces, one for TAS and one for Linux, joined by a veth pair (MTU $mtu)."
make_machines "$mtu"

service_options net_af_packet0,iface=veth0
echo "* The service takes the TAS end of the veth as its network port:"
echo
echo "    tas/tas \\"
printf '        %s \\\n' "${options[@]}" | sed '$ s/ \\$//'
echo
start_service
echo "  It says: $(grep "TAS ready" "$work/tas.out") (process $tas_pid). The Linux kernel has no address there:"
echo "  $tas_ip is answered by TAS alone."

# --- Measuring --------------------------------------------------------------------

measure() {
    local stack=$1 name=$2 size row
    for size in $sizes; do
        echo_server "$stack" "$size"
        load "$size" 1 1
        row=$(printf '%7s  %-6s %10s %10s %10s' "$size" "$name" "$messages_s" "$p50" "$p99")
        load "$size" "$pipelined" "$connections"
        printf '%s   %10s %9s\n' "$row" "$messages_s" "$mbit_s" >>"$work/rows"
        if [ "$stack" = ll ] && [ "$size" = 1024 ]; then
            show_flow
        fi
        stop_server
    done
}

# What the service knows of a connection, while one is open.
show_flow() {
    start_on "$linux_side" /dev/null env TEST_DURATION=2 \
        "$programs/testclient_linux" "$tas_ip" "$port" 1 - "$size" 1 1
    local client=$started
    sleep 0.7
    on "$tas_side" "$root/tools/statetool" >"$work/flows" || fail "statetool failed"
    grep -q '^flow' "$work/flows" || fail "statetool shows no flow while one is open"
    wait "$client" || fail "the load generator failed"
}

echo "* An echo server, a C program on lib/libtas.so, listens on $tas_ip:$port; a load generator on"
echo "  Linux sockets connects from $linux_ip. Measuring (messages of ${sizes// /, } bytes) ..."
measure ll TAS
echo "* What tools/statetool shows of a connection in the meantime:"
echo
sed -n '/^flow/,/^  rx/p' "$work/flows" | sed '/^  rx/d; s/^/    /' | head -n 16
echo

echo "* SIGTERM to the service; it leaves nothing behind."
stop "$tas_pid" || fail "the service ended with status $?"
left=$(on "$tas_side" find /dev/shm -mindepth 1)
[ -z "$left" ] || fail "left behind: $left"

echo "* The same programs with Linux sockets at both ends of the same veth. Measuring ..."
on "$tas_side" ip addr add "$tas_ip/24" dev veth0
measure linux Linux

echo
echo "                   one message in flight              $((connections * pipelined)) in flight"
echo "  bytes  server   messages/s   50 % us    99 % us   messages/s    Mbit/s"
sort -s -n -k1,1 "$work/rows"
echo
echo "  Round-trip times in microseconds: half, and 99 of 100, are below. Mbit/s in each direction."
echo "  $cpus CPUs are shared by the service (2 threads), the application, and the load generator."
echo
echo "demo: ok"
