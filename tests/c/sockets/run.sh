#!/bin/bash
# run.sh STACK... : the conformance suite. Each program runs on Linux sockets
# (`linux`), and must print the same on each other stack named:
#   again    Linux sockets once more: is the output the same at every run?
#   alone    Linux sockets under lib/libtas_interpose.so, without a service
#   preload  TAS, under lib/libtas_interpose.so
#   direct   TAS, calling lib/libtas_sockets.so by name (programs of direct.list)
# PROGRAMS="name..." runs only those; KEEP=dir keeps what they printed.
# Needs root. Prints differences and `N passed, M failed`.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
script=sockets
# shellcheck source=tests/veth/lib.sh
. "$root/tests/veth/lib.sh"

stacks=("$@")
built=$root/target/tests/sockets
out=${KEEP:-$work/out}
own_ip=$tas_ip
peer_ip=$linux_ip
# Each program has ports of its own, the same on every stack.
first_port=10000
ports_each=64

fail_usage() {
    sed -n '2,9s/^# //p' "$0" >&2
    exit 2
}

programs_of() {
    if [ -n "${PROGRAMS:-}" ]; then
        tr ' ' '\n' <<<"$PROGRAMS"
    else
        find "$here" -name '*.c' -printf '%f\n' | sed 's/\.c$//' |
            grep -vxE 'test|peer|peer_client' | sort
    fi
}

direct_programs() {
    programs_of | grep -xF -f <(sed 's/#.*//; s/ *$//; /^$/d' "$here/direct.list")
}

# The same two machines for every stack, the peer on the second one.
make_world() {
    make_machines 1500
    on "$linux_side" sysctl -qw net.ipv4.ip_forward=1
    # What the peer routes and cannot reach.
    on "$linux_side" ip route add unreachable 10.78.0.0/16
    rm -f "$work/peer"
    start_on "$linux_side" "$work/peer.out" "$built/peer" "$work/peer" "$own_ip"
    wait_for 10 "$work/peer.out" "peer ready" "$started"
}

start_linux() {
    make_world
    on "$tas_side" ip addr add "$own_ip/24" dev veth0
    on "$tas_side" ip route add 10.78.0.0/16 via "$peer_ip"
}

start_tas() {
    make_world
    service_options net_af_packet0,iface=veth0
    options+=("--ip-route=10.78.0.0/16,$peer_ip")
    start_service
}

# One program; what it printed and its status are left in $3.
run_one() {
    local name=$1 command=$2 dir=$3 port=$4 status
    shift 4
    nsenter --target "$tas_side" --net --mount -- timeout -k 2 30 \
        env T_PEER="$work/peer" T_OWN_IP="$own_ip" T_PEER_IP="$peer_ip" T_PORT="$port" \
        T_ROOT="$root" "$@" "$command" >"$dir/$name.out" 2>"$dir/$name.err" </dev/null
    status=$?
    echo "ended with $status" >>"$dir/$name.out"
}

# run_all STACK DIRECTORY-OF-PROGRAMS ENVIRONMENT... : those named on stdin.
run_all() {
    local stack=$1 from=$2 name port jobs=0 numbers
    shift 2
    mkdir -p "$out/$stack"
    numbers=$(find "$here" -name '*.c' -printf '%f\n' | sed 's/\.c$//' | sort)
    while read -r name; do
        port=$((first_port + ports_each * $(grep -nxF "$name" <<<"$numbers" | cut -d: -f1)))
        run_one "$name" "$from/$name" "$out/$stack" "$port" T_STACK="$stack" "$@" &
        jobs=$((jobs + 1))
        if [ "$jobs" -ge 2 ]; then
            wait -n
            jobs=$((jobs - 1))
        fi
    done
    # Only the programs: the machines are children too, and stay.
    while [ "$(jobs -r | grep -c run_one)" -gt 0 ]; do
        sleep 0.05
    done
}

# Nothing of the programs may be left in the service, some of it for a moment.
check_idle() {
    local flows
    kill -0 "$tas_pid" 2>/dev/null || { echo "FAIL $1: the service has ended"; return 1; }
    for _ in $(seq 100); do
        flows=$(on "$tas_side" "$root/tools/statetool" | grep -c '^flow ')
        [ "$flows" = 0 ] && return 0
        sleep 0.1
    done
    echo "FAIL $1: $flows connections are left in the service"
    on "$tas_side" "$root/tools/statetool" | sed 's/^/    /'
    return 1
}

passed=0
failed=0
count() {
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# compare STACK: what it printed with what was printed on Linux.
compare() {
    local name
    while read -r name; do
        if diff -u --label linux --label "$1" "$out/linux/$name.out" "$out/$1/$name.out" \
            >"$work/diff"; then
            count 0
        else
            count 1
            echo "FAIL $1: $name"
            head -n 60 "$work/diff" | sed 's/^/    /'
            head -n 10 "$out/$1/$name.err" | sed 's/^/    stderr: /'
        fi
    done
}

# On Linux itself every program must come to its end.
check_ended() {
    local name
    while read -r name; do
        if [ "$(tail -n 1 "$out/linux/$name.out")" != "ended with 0" ]; then
            count 1
            echo "FAIL linux: $name"
            tail -n 10 "$out/linux/$name.out" "$out/linux/$name.err" | sed 's/^/    /'
        else
            count 0
        fi
    done
}

# on_linux STACK ENVIRONMENT...
on_linux() {
    local stack=$1
    shift
    start_linux
    programs_of | run_all "$stack" "$built" "$@"
    end_all
}

[ "${#stacks[@]}" -gt 0 ] || fail_usage
[ "$(id -u)" = 0 ] || fail "needs root, for network namespaces: sudo make check-sockets"
make -s -j2 -C "$here" OUT="$built" || exit 1
rm -rf "$out"
on_linux linux
check_ended < <(programs_of)
for stack in "${stacks[@]}"; do
    case $stack in
        again)
            on_linux again
            compare again < <(programs_of)
            ;;
        alone)
            on_linux alone LD_PRELOAD="$root/lib/libtas_interpose.so"
            compare alone < <(programs_of)
            ;;
        preload)
            start_tas
            programs_of | run_all preload "$built" \
                LD_PRELOAD="$root/lib/libtas_interpose.so" TAS_INTERPOSE_REQUIRED=1
            compare preload < <(programs_of)
            check_idle preload
            count $?
            end_all
            ;;
        direct)
            make -s -C "$here" OUT="$built" direct || exit 1
            start_tas
            direct_programs | run_all direct "$built/direct"
            compare direct < <(direct_programs)
            check_idle direct
            count $?
            end_all
            ;;
        linux) ;;
        *) fail_usage ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
