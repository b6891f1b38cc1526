# What tests/demo.sh and tests/bench-veth.sh share, to be sourced: two machines
# joined by a veth pair, the service on one of them, and the programs of
# tests/c/bench. Needs root. Whoever sources it has set `script` (the name in
# messages) and `root` (the top of the tree), perhaps `work` (an empty directory).
# shellcheck shell=bash

programs=$root/target/tests
tas_ip=10.77.0.1
linux_ip=10.77.0.2
port=7777
cpus=$(nproc)

fail() {
    echo "$script: $*" >&2
    exit 1
}

check_needs() {
    local tool
    [ "$(id -u)" = 0 ] || fail "needs root, for network namespaces: sudo make $script"
    for tool in ip ethtool nsenter unshare; do
        command -v "$tool" >/dev/null || fail "$tool is missing: make deps installs it"
    done
    [ -x "$root/tas/tas" ] || fail "tas/tas is missing: run make"
    make -s -C "$root/tests/c/bench" OUT="$programs"
}

# --- Clean up, however this ends ----------------------------------------------

work=${work:-$(mktemp -d)}
pids=()
tas_pid=

clean_up() {
    local status=$?
    trap - EXIT INT TERM HUP
    end_all
    if [ "$status" != 0 ] && [ -s "$work/tas.out" ]; then
        echo "$script: the service said:" >&2
        tail -n 20 "$work/tas.out" >&2
    fi
    rm -rf "$work"
    [ "$status" = 0 ] || echo "$script: FAILED" >&2
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Ends all that was started, latest first: what runs in a namespace before what
# keeps it. With the last process of a namespace go its interfaces and its
# /dev/shm.
end_all() {
    local i pid
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
    pids=()
}

stop() {
    kill "$1"
    wait "$1"
}

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
    on "$machine" sh -c 'for conf in all default; do
        echo 1 >/proc/sys/net/ipv6/conf/$conf/disable_ipv6
    done' 2>/dev/null || true
    on "$machine" ip link set lo up
}

on() {
    local where=$1
    shift
    nsenter --target "$where" --net --mount -- "$@"
}

# The same in the background, its output in a file; the process started is the
# program itself.
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

# wait_for SECONDS FILE TEXT PID
wait_for() {
    local end=$((SECONDS + $1))
    until grep -q "$3" "$2" 2>/dev/null; do
        kill -0 "$4" 2>/dev/null || { cat "$2" >&2; fail "ended before it said '$3'"; }
        [ "$SECONDS" -lt "$end" ] || fail "did not say '$3' within $1 s"
        sleep 0.05
    done
}

# A NIC would carry frames as they are on the wire: no checksums left to be
# filled in, no segments of 64 KiB.
plain_link() {
    on "$1" ethtool -K veth0 tx off rx off tso off gso off gro off >/dev/null
    on "$1" ip link set veth0 mtu "$2" up
}

# make_machines MTU: sets tas_side and linux_side, joined by a veth pair.
make_machines() {
    new_machine
    tas_side=$machine
    new_machine
    linux_side=$machine
    on "$tas_side" ip link add veth0 type veth peer name veth0 netns "$linux_side"
    plain_link "$tas_side" "$1"
    plain_link "$linux_side" "$1"
    on "$linux_side" ip addr add "$linux_ip/24" dev veth0
}

# --- The service ------------------------------------------------------------------

# service_options VDEV: sets `options`, those of a service whose port is VDEV.
service_options() {
    # Those who poll in vain let others run, so polling for as long as a round
    # trip takes costs nobody anything and spares the sleep in between.
    local poll=${TAS_DEMO_POLL:-50}
    options=(
        "--ip-addr=$tas_ip/24"
        --fp-no-hugepages --fp-no-xsumoffload --quiet
        --tcp-rxbuf-len=262144 --tcp-txbuf-len=262144
        --cc=const-rate
        "--fp-poll-interval-tas=$poll" "--fp-poll-interval-app=$poll"
        --dpdk-extra=--no-huge --dpdk-extra=--no-pci
        "--dpdk-extra=--vdev=$1"
        "--dpdk-extra=--lcores=0@0,1@$((cpus > 1 ? 1 : 0))"
    )
}

# Starts the service with `options`; sets tas_pid.
start_service() {
    start_on "$tas_side" "$work/tas.out" "$root/tas/tas" "${options[@]}"
    tas_pid=$started
    wait_for 30 "$work/tas.out" "TAS ready" "$tas_pid"
}

# --- The programs -----------------------------------------------------------------

# echo_server STACK SIZE: on the TAS side, on either stack.
echo_server() {
    start_on "$tas_side" "$work/server.out" "$programs/echoserver_$1" "$port" 1 - 1024 "$2"
    server=$started
    wait_for 10 "$work/server.out" listening "$server"
}

stop_server() {
    stop "$server" || [ $? = 143 ] || fail "the echo server ended with status $?"
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
