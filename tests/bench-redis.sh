#!/bin/bash
# redis-server on TAS beside redis-server on Linux sockets, in the same run and
# over the same kind of veth pair: requests per second and latency with 1 and 50
# connections, from redis-benchmark on Linux sockets. Needs root; `sudo make
# bench-redis` builds and calls it.
#
# Environment: TAS_BENCH_ROUNDS (each stack in turn, the median counts),
# TAS_BENCH_MTU, TAS_DEMO_POLL (microseconds), TAS_BENCH_STACKS.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
script=bench-redis
# shellcheck source=tests/veth/lib.sh
. tests/veth/lib.sh

rounds=${TAS_BENCH_ROUNDS:-5}
mtu=${TAS_BENCH_MTU:-9000}
read -r -a stacks <<<"${TAS_BENCH_STACKS:-tas linux}"
preload=$root/lib/libtas_interpose.so

[ "$(id -u)" = 0 ] || fail "needs root, for network namespaces: sudo make $script"
for tool in ip ethtool nsenter unshare redis-server redis-benchmark; do
    command -v "$tool" >/dev/null || fail "$tool is missing: make deps deps-apps installs it"
done

# redis_on STACK: two machines, whose second one has redis-server; sets `client`, where
# redis-benchmark runs.
redis_on() {
    local stack=$1 use=()
    make_machines "$mtu"
    client=$linux_side
    if [ "$stack" = tas ]; then
        [ -f "$preload" ] || fail "$preload is missing: run make"
        service_options net_af_packet0,iface=veth0
        start_service
        use=(TAS_INTERPOSE_REQUIRED=1 "LD_PRELOAD=$preload")
    else
        on "$tas_side" ip addr add "$tas_ip/24" dev veth0
    fi
    start_on "$tas_side" "$work/redis-$stack.out" env "${use[@]}" \
        redis-server --bind 0.0.0.0 --protected-mode no --save '' --appendonly no
    wait_for 10 "$work/redis-$stack.out" 'Ready to accept' "$started"
}

# measure STACK CONNECTIONS PIPELINED REQUESTS: a line for each kind of request in $work/rows.
measure() {
    local stack=$1 connections=$2 pipelined=$3 requests=$4
    on "${clients[$stack]}" timeout 60 redis-benchmark -h "$tas_ip" -t set,get --csv \
        -c "$connections" -P "$pipelined" -n "$requests" >"$work/csv" || fail "redis-benchmark failed"
    # "test","rps","avg","min","p50","p95","p99","max", latencies in milliseconds
    awk -F'"' -v key="$stack $connections $pipelined" '/^"[SG]ET"/ {
        printf "%s %s %s %s %s\n", key, $2, $4, $10 * 1000, $14 * 1000
    }' "$work/csv" >>"$work/rows"
}

# median STACK CONNECTIONS PIPELINED REQUEST COLUMN: 5 requests/s, 6 and 7 the latencies.
median() {
    awk -v key="$1 $2 $3 $4" -v column="$5" '$1 " " $2 " " $3 " " $4 == key { print $column }' "$work/rows" |
        sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

declare -A clients
for stack in "${stacks[@]}"; do
    redis_on "$stack"
    clients[$stack]=$client
done

loads=("1 1 10000" "50 1 50000" "50 16 400000")
for _ in $(seq "$rounds"); do
    for load in "${loads[@]}"; do
        for stack in "${stacks[@]}"; do
            # shellcheck disable=SC2086 # words
            measure "$stack" $load
        done
    done
done

echo "redis-server on $cpus CPUs shared with the service and redis-benchmark; MTU $mtu; median of $rounds"
echo
printf '%11s %9s %-7s %-6s %11s %9s %9s %7s\n' connections pipelined request stack requests/s '50 % us' '99 % us' ratio
for load in "${loads[@]}"; do
    read -r connections pipelined _ <<<"$load"
    for request in GET SET; do
        for stack in "${stacks[@]}"; do
            key=("$stack" "$connections" "$pipelined" "$request")
            rate=$(median "${key[@]}" 5)
            ratio=
            [ "$stack" = linux ] ||
                ratio=$(awk "BEGIN { linux = $(median linux "${key[@]:1}" 5) + 0; if (linux) printf \"%.2f\", $rate / linux }")
            printf '%11s %9s %-7s %-6s %11.0f %9.0f %9.0f %7s\n' "$connections" "$pipelined" "$request" "$stack" \
                "$rate" "$(median "${key[@]}" 6)" "$(median "${key[@]}" 7)" "$ratio"
        done
    done
done
echo
echo "ratio: requests/s on TAS to those on Linux sockets"
