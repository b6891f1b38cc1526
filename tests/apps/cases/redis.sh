# redis-server, redis-benchmark and redis-cli.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

redis_args=(--port 6379 --bind 0.0.0.0 --protected-mode no --save '' --appendonly no)

redis_on_tas() {
    start_tas redis redis-server "${redis_args[@]}" --dir "$dir" "$@"
    accepts "$tas_ip" 6379
}

redis_on_peer() {
    start_peer redis redis-server "${redis_args[@]}" --dir "$dir" "$@"
    accepts "$peer_ip" 6379
}

# cli WHERE IP COMMAND...: WHERE is on_tas or on_peer.
cli() {
    local where=$1 ip=$2
    shift 2
    "$where" redis-cli -h "$ip" "$@"
}

# benchmark WHERE IP REQUESTS OPTION...: gets and sets, and the server's count of them.
benchmark() {
    local where=$1 ip=$2 requests=$3 answered
    shift 3
    "$where" redis-benchmark -h "$ip" -t set,get -n "$requests" --csv "$@" >benchmark.csv
    cat benchmark.csv
    has benchmark.csv '^"SET"'
    has benchmark.csv '^"GET"'
    answered=$(cli on_peer "$ip" info commandstats | tr -d '\r' |
        sed -n 's/^cmdstat_[gs]et:calls=\([0-9]*\),.*/\1/p' | sort -n | head -n 1)
    [ "$answered" -ge "$requests" ] || fail "the server has answered $answered of $requests requests"
    note "$(awk -F'"' '/^"[SG]ET"/ { printf "%s %d/s  ", $2, $4 }' benchmark.csv)"
}

case_of redis-server server redis_50 'redis-benchmark, 50 connections; all requests answered'
redis_50() {
    redis_on_tas
    benchmark on_peer "$tas_ip" 40000 -c 50
    ends "$started"
}

case_of redis-server server redis_50_pipelined 'the same, 16 requests at a time'
redis_50_pipelined() {
    redis_on_tas
    benchmark on_peer "$tas_ip" 200000 -c 50 -P 16
    ends "$started"
}

case_of redis-server server redis_1000 'redis-benchmark, 1,000 connections; all requests answered'
redis_1000() {
    redis_on_tas
    benchmark on_peer "$tas_ip" 40000 -c 1000
    ends "$started"
}

case_of redis-server server redis_1000_pipelined 'the same, 16 requests at a time'
redis_1000_pipelined() {
    redis_on_tas
    benchmark on_peer "$tas_ip" 200000 -c 1000 -P 16
    ends "$started"
}

# cli_session WHERE IP: a value of 10 MB there and back, 20,000 commands in one stream.
cli_session() {
    local i
    cli "$1" "$2" -x set blob <"$work/files/middle" >set.txt
    has set.txt '^OK$'
    cli "$1" "$2" --no-raw strlen blob | grep -q 10485760 || fail 'the value has another length'
    cli "$1" "$2" get blob >fetched
    truncate -s 10485760 fetched
    same fetched "$work/files/middle"
    for i in $(seq 20000); do echo "SET key:$i $i"; done >commands
    cli "$1" "$2" --pipe <commands >pipe.txt
    has pipe.txt 'errors: 0, replies: 20000'
    [ "$(cli "$1" "$2" dbsize)" = 20001 ] || fail 'not all keys are there'
}

case_of redis-server server redis_cli 'redis-cli: 10 MB there and back, 20,000 commands in a stream; values equal'
redis_cli() {
    redis_on_tas
    cli_session on_peer "$tas_ip"
    cli on_peer "$tas_ip" shutdown nosave
    ended "$started"
}

case_of redis-server server redis_bgsave 'background saves (fork) under load; the file holds all keys'
redis_bgsave() {
    local load keys
    redis_on_tas
    start_peer load redis-benchmark -h "$tas_ip" -t set -n 60000 -c 50 -r 100000 --csv
    load=$started
    for _ in 1 2 3; do
        cli on_peer "$tas_ip" bgsave
        until cli on_peer "$tas_ip" info persistence | grep -q 'rdb_bgsave_in_progress:0'; do sleep 0.1; done
    done
    ended "$load"
    cli on_peer "$tas_ip" bgsave
    until cli on_peer "$tas_ip" info persistence | grep -q 'rdb_bgsave_in_progress:0'; do sleep 0.1; done
    cli on_peer "$tas_ip" info persistence | tr -d '\r' >persistence.txt
    has persistence.txt '^rdb_last_bgsave_status:ok$'
    has persistence.txt '^rdb_saves:4$'
    keys=$(cli on_peer "$tas_ip" dbsize)
    cli on_peer "$tas_ip" shutdown nosave
    redis_on_tas
    [ "$(cli on_peer "$tas_ip" dbsize)" = "$keys" ] || fail 'the saved file misses keys'
    cli on_peer "$tas_ip" shutdown nosave
}

case_of redis-server server redis_daemonize '`--daemonize yes` (fork, setsid, the parent ends); answers, SHUTDOWN ends it'
redis_daemonize() {
    on_tas redis-server "${redis_args[@]}" --dir "$dir" --daemonize yes --pidfile "$dir/pid" --logfile "$dir/redis.out"
    accepts "$tas_ip" 6379
    benchmark on_peer "$tas_ip" 10000 -c 20
    cli on_peer "$tas_ip" shutdown nosave
    for _ in $(seq 100); do [ -e "$dir/pid" ] || return 0; sleep 0.05; done
    fail 'it did not end'
}

case_of redis-benchmark client redis_benchmark '50 connections to a Linux server, pipelined and not; all requests answered'
redis_benchmark() {
    redis_on_peer
    benchmark on_tas "$peer_ip" 200000 -c 50 -P 16
    cli on_peer "$peer_ip" config resetstat
    benchmark on_tas "$peer_ip" 40000 -c 50
    ends "$started"
}

case_of redis-benchmark client redis_benchmark_1000 '1,000 connections to a Linux server, two threads; all requests answered'
redis_benchmark_1000() {
    redis_on_peer
    benchmark on_tas "$peer_ip" 40000 -c 1000 --threads 2
    ends "$started"
}

case_of redis-cli client redis_cli_client '10 MB there and back, 20,000 commands in a stream; values equal'
redis_cli_client() {
    redis_on_peer
    cli_session on_tas "$peer_ip"
    ends "$started"
}

case_of redis-server both redis_replica 'replica of a Linux server, itself read by clients; all keys there'
redis_replica() {
    local first
    redis_on_peer --repl-diskless-sync-delay 0
    first=$started
    cli on_peer "$peer_ip" set word 1234
    cli on_peer "$peer_ip" -x set blob <"$work/files/middle"
    redis_on_tas --replicaof "$peer_ip" 6379
    for _ in $(seq 200); do
        cli on_peer "$tas_ip" info replication | grep -q master_link_status:up && break
        sleep 0.05
    done
    cli on_peer "$peer_ip" set later 5678
    [ "$(cli on_peer "$peer_ip" wait 1 5000)" = 1 ] || fail 'no replica'
    [ "$(cli on_peer "$tas_ip" get later)" = 5678 ] || fail 'a value misses'
    cli on_peer "$tas_ip" get blob >fetched
    truncate -s 10485760 fetched
    same fetched "$work/files/middle"
    ends "$started"
    ends "$first"
}
