#!/bin/bash
# TAS on real packets: an echo server on the low-level library of TAS in one
# network namespace, a load generator on Linux sockets in another, a veth pair
# between them. Then the same with Linux sockets at both ends. Needs root; no
# huge pages, no NIC. `sudo make demo` builds and calls it.
set -euo pipefail
cd "$(dirname "$0")/.."
# Paths are absolute, since entering a namespace's mounts leaves this directory.
root=$PWD

programs=$root/target/tests
seconds=${TAS_DEMO_SECONDS:-2}
tas_ip=10.77.0.1
linux_ip=10.77.0.2
port=7777
sizes="64 1024 8192"
connections=4
pipelined=16

fail() {
    echo "demo: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "needs root, for network namespaces: sudo make demo"
for tool in ip ethtool nsenter unshare; do
    command -v "$tool" >/dev/null || fail "$tool is missing: make deps installs it"
done
[ -x tas/tas ] || fail "tas/tas is missing: run make"
make -s -C tests/c/bench OUT="$programs"

# --- Clean up, however this ends ----------------------------------------------

work=$(mktemp -d)
pids=()
tas_pid=

clean_up() {
    local status=$? pid
    trap - EXIT INT TERM HUP
    # Latest first: what runs in a namespace before what keeps it. With the
    # last process of a namespace go its interfaces and its /dev/shm.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        pid=${pids[i]}
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    if [ "$status" != 0 ] && [ -s "$work/tas.out" ]; then
        echo "demo: the service said:" >&2
        tail -n 20 "$work/tas.out" >&2
    fi
    rm -rf "$work"
    [ "$status" = 0 ] || echo "demo: FAILED" >&2
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- Two machines on one --------------------------------------------------------

# Network and mounts of its own, kept by a process that only sleeps. It is ready
# once that process has replaced unshare, which first makes the mounts private.
new_machine() {
    unshare --net --mount sleep 3600 &
    pids+=($!)
    machine=$!
    for _ in $(seq 100); do
        [ "$(cat /proc/$machine/comm 2>/dev/null)" = sleep ] && break
        sleep 0.05
    done
    on "$machine" mount -t tmpfs -o size=2g tmpfs /dev/shm
    on "$machine" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' 2>/dev/null || true
    on "$machine" ip link set lo up
}

on() {
    local where=$1
    shift
    nsenter --target "$where" --net --mount -- "$@"
}

# The same in the background; the process started is the program itself.
started=
start_on() {
    local where=$1
    shift
    exec 4>"$1"
    shift
    nsenter --target "$where" --net --mount -- "$@" >&4 2>&1 4>&- &
    exec 4>&-
    started=$!
    pids+=("$started")
}

# A NIC would carry frames as they are on the wire: no checksums left to be
# filled in, no segments of 64 KiB.
plain_link() {
    on "$1" ethtool -K veth0 tx off rx off tso off gso off gro off >/dev/null
    on "$1" ip link set veth0 up
}

# wait_for SECONDS FILE TEXT PID
wait_for() {
    local end=$((SECONDS + $1))
    until grep -q "$3" "$2" 2>/dev/null; do
        kill -0 "$4" 2>/dev/null || { cat "$2" >&2; fail "ended before it said '$3'"; }
        [ "$SECONDS" -lt "$end" ] || fail "did not say '$3' within $1 s"
        sleep 0.05
    done
}

stop() {
    kill "$1"
    wait "$1"
}

echo "* Two network namespaces, one for TAS and one for Linux, joined by a veth pair."
new_machine
tas_side=$machine
new_machine
linux_side=$machine
on "$tas_side" ip link add veth0 type veth peer name veth0 netns "$linux_side"
plain_link "$tas_side"
plain_link "$linux_side"
on "$linux_side" ip addr add "$linux_ip/24" dev veth0

# --- The service ------------------------------------------------------------------

# With a CPU for everyone, polling longer before sleeping is faster; where they
# are shared, whoever polls takes the CPU from whoever has the work.
cpus=$(nproc)
if [ "$cpus" -ge 4 ]; then
    poll_tas=1000 poll_app=1000
else
    poll_tas=50 poll_app=10
fi
options=(
    "--ip-addr=$tas_ip/24"
    --fp-no-hugepages --fp-no-xsumoffload --quiet
    --tcp-rxbuf-len=262144 --tcp-txbuf-len=262144
    --cc=const-rate
    "--fp-poll-interval-tas=$poll_tas" "--fp-poll-interval-app=$poll_app"
    --dpdk-extra=--no-huge --dpdk-extra=--no-pci
    --dpdk-extra=--vdev=net_af_packet0,iface=veth0
    "--dpdk-extra=--lcores=0@0,1@$((cpus > 1 ? 1 : 0))"
)
echo "* The service takes the TAS end of the veth as its network port:"
echo
echo "    tas/tas \\"
printf '        %s \\\n' "${options[@]}" | sed '$ s/ \\$//'
echo
start_on "$tas_side" "$work/tas.out" "$root/tas/tas" "${options[@]}"
tas_pid=$started
wait_for 30 "$work/tas.out" "TAS ready" "$tas_pid"
echo "  It says: $(grep "TAS ready" "$work/tas.out") (process $tas_pid). The Linux kernel has no address there:"
echo "  $tas_ip is answered by TAS alone."

# --- Measuring --------------------------------------------------------------------

# echo_server STACK SIZE: on the TAS side, on either stack.
echo_server() {
    start_on "$tas_side" "$work/server.out" "$programs/echoserver_$1" "$port" 1 - 1024 "$2"
    server=$started
    wait_for 10 "$work/server.out" listening "$server"
}

# load SIZE PENDING CONNECTIONS: sets messages_s, mbit_s, p50, p99.
load() {
    local result messages duration
    result=$(on "$linux_side" env TEST_DURATION="$seconds" TEST_WARMUP_MS=300 \
        timeout $((seconds + 20)) "$programs/testclient_linux" "$tas_ip" "$port" 1 - \
        "$1" "$2" "$3") || fail "the load generator failed: $result"
    messages=$(sed -n 's/.*messages=\([0-9]*\).*/\1/p' <<<"$result")
    duration=$(sed -n 's/.*seconds=\([0-9.]*\).*/\1/p' <<<"$result")
    p50=$(sed -n 's/.*p50_us=\([0-9.]*\).*/\1/p' <<<"$result")
    p99=$(sed -n 's/.*p99_us=\([0-9.]*\).*/\1/p' <<<"$result")
    messages_s=$(awk "BEGIN { printf \"%.0f\", $messages / $duration }")
    mbit_s=$(awk "BEGIN { printf \"%.0f\", $messages / $duration * $1 * 8 / 1e6 }")
}

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
        stop "$server" || [ $? = 143 ] || fail "the echo server ended with status $?"
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
