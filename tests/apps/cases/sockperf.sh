# sockperf: latency and throughput over TCP.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

# sockperf_runs SERVER CLIENT IP: ping-pong with the contents compared, beside it a
# stream; the server waits by epoll.
sockperf_runs() {
    printf 'T:%s:11111\nT:%s:11112\n' "$3" "$3" >feed
    "$1" server sockperf server -f "$dir/feed" -F epoll
    accepts "$3" 11112
    "$2" sockperf throughput -i "$3" -p 11112 --tcp -t 1 -m 1400 >tp.txt &
    throughput=$!
    "$2" sockperf ping-pong -i "$3" -p 11111 --tcp -t 1 --data-integrity >pp.txt
    ended "$throughput"
    cat pp.txt
    has pp.txt 'Valid Duration.*SentMessages=[1-9]'
    has pp.txt 'dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0'
    has tp.txt 'Message Rate is [1-9]'
    note "$(sed -n 's/.*avg-latency=\([0-9.]*\).*/\1 us each way/p' pp.txt)"
    kill -INT "$started"
    wait "$started" || true
}

case_of sockperf server sockperf_server 'waits by epoll for two ports; ping-pong compared, throughput'
sockperf_server() { sockperf_runs start_tas on_peer "$tas_ip"; }

case_of sockperf client sockperf_client 'the same against a Linux server'
sockperf_client() { sockperf_runs start_peer on_tas "$peer_ip"; }
