# memcached, four threads, with the load generators and clients of libmemcached.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

# As Debian starts it: by root, which gives up its rights.
memcached_args=(-u nobody -t 4 -U 0 -p 11211 -m 256 -c 4096)

memcached_on_tas() {
    start_tas memcached memcached "${memcached_args[@]}"
    accepts "$tas_ip" 11211
}

memcached_on_peer() {
    start_peer memcached memcached "${memcached_args[@]}"
    accepts "$peer_ip" 11211
}

# load WHERE IP OPTION...: gets and sets, all values compared.
memcached_load() {
    local where=$1 ip=$2
    shift 2
    "$where" memcaslap -s "$ip:11211" -T 2 --verify=1.0 "$@" >load.txt
    cat load.txt
    has load.txt '^cmd_get: [1-9]'
    has load.txt '^verify_misses: 0$'
    has load.txt '^verify_failed: 0$'
    note "$(sed -n 's/.*TPS: \([0-9]*\).*/\1 requests\/s/p' load.txt)"
}

case_of memcached server memcached_64 'four threads; memcaslap, 64 connections; all values compared'
memcached_64() {
    memcached_on_tas
    memcached_load on_peer "$tas_ip" -c 64 -x 60000
    ends "$started"
}

case_of memcached server memcached_512 'the same with 512 connections, binary protocol, values of 4 KB'
memcached_512() {
    memcached_on_tas
    memcached_load on_peer "$tas_ip" -c 512 -x 40000 -X 4096 --binary
    ends "$started"
}

case_of memcached server memcached_protocol 'memccapable: every request of both protocols'
memcached_protocol() {
    memcached_on_tas
    on_peer memccapable -h "$tas_ip" -p 11211 -t 5000 >capable.txt 2>&1 || fail "$(grep -v '\[pass\]' capable.txt)"
    note "$(grep -c '\[pass\]' capable.txt) requests"
    ends "$started"
}

case_of memcaslap client memcached_load_client '64 connections to a Linux server; all values compared'
memcached_load_client() {
    memcached_on_peer
    memcached_load on_tas "$peer_ip" -c 64 -x 60000
    ends "$started"
}

case_of memccp client memcached_copy 'memccp and memccat: values of 20 KB there and back; equal'
memcached_copy() {
    local i
    memcached_on_peer
    for i in 1 2 3 4 5; do
        head -c 20480 /dev/urandom | base64 >"value$i"
    done
    on_tas memccp --servers="$peer_ip:11211" value1 value2 value3 value4 value5
    for i in 1 2 3 4 5; do
        on_tas memccat --servers="$peer_ip:11211" "value$i" >"back$i"
        # It ends what it prints with a newline of its own.
        truncate -s "$(stat -c %s "value$i")" "back$i"
        same "back$i" "value$i"
    done
    ends "$started"
}
