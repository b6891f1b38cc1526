# iperf3: both directions and -R, 1 and 8 streams.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

# iperf3_runs SERVER CLIENT IP OPTION...: SERVER is start_tas or start_peer, CLIENT
# on_peer or on_tas.
iperf3_runs() {
    local server=$1 client=$2 ip=$3
    shift 3
    "$server" iperf3 iperf3 -s -1 --forceflush
    says iperf3 listening
    "$client" iperf3 -c "$ip" -t 1 -J "$@" >iperf3.json
    ended "$started"
    "$python" - iperf3.json >rate <<'PYTHON'
import json, sys
end = json.load(open(sys.argv[1]))["end"]
sent, received = (end[key]["bytes"] for key in ("sum_sent", "sum_received"))
print(f"{end['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s")
# What was on the way when the time was up is not received.
sys.exit(0 if 1_000_000 < received <= sent * 1.01 else f"{sent} bytes sent, {received} received")
PYTHON
    note "$(cat rate)"
}

case_of iperf3 server iperf3_server '1 stream to the server; bytes arrive'
iperf3_server() { iperf3_runs start_tas on_peer "$tas_ip"; }

case_of iperf3 server iperf3_server_8 '8 streams to the server'
iperf3_server_8() { iperf3_runs start_tas on_peer "$tas_ip" -P 8; }

case_of iperf3 server iperf3_server_reverse '1 stream from the server (`-R`)'
iperf3_server_reverse() { iperf3_runs start_tas on_peer "$tas_ip" -R; }

case_of iperf3 server iperf3_server_reverse_8 '8 streams from the server'
iperf3_server_reverse_8() { iperf3_runs start_tas on_peer "$tas_ip" -R -P 8; }

case_of iperf3 server iperf3_server_bidir 'a stream each way at the same time (`--bidir`)'
iperf3_server_bidir() { iperf3_runs start_tas on_peer "$tas_ip" --bidir; }

case_of iperf3 client iperf3_client '1 stream to a Linux server'
iperf3_client() { iperf3_runs start_peer on_tas "$peer_ip"; }

case_of iperf3 client iperf3_client_8 '8 streams to a Linux server'
iperf3_client_8() { iperf3_runs start_peer on_tas "$peer_ip" -P 8; }

case_of iperf3 client iperf3_client_reverse '1 stream from a Linux server (`-R`)'
iperf3_client_reverse() { iperf3_runs start_peer on_tas "$peer_ip" -R; }

case_of iperf3 client iperf3_client_reverse_8 '8 streams from a Linux server'
iperf3_client_reverse_8() { iperf3_runs start_peer on_tas "$peer_ip" -R -P 8; }
