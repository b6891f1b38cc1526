# node.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

case_of node server node_server 'http server, listening on `::` by default; ab, kept alive and not, 6,000 requests; uploads compared'
node_server() {
    start_tas node node "$helpers/server.js" 8080
    says node listening
    on_peer ab -q -n 5000 -c 50 -k "http://$tas_ip:8080/" >ab.txt
    on_peer ab -q -n 1000 -c 20 "http://$tas_ip:8080/" >ab2.txt
    ab_passes ab2.txt 1000
    ab_passes ab.txt 5000
    on_peer curl -sS -o fetched --data-binary "@$work/files/middle" "http://$tas_ip:8080/echo"
    same fetched "$work/files/middle"
    # The peer's address, as an IPv4 client has it on an IPv6 socket.
    on_peer curl -sS "http://$tas_ip:8080/who" >who.txt
    has who.txt "^::ffff:$peer_ip\$"
    ends "$started"
}

case_of node client node_client 'http client of a Linux server, 2,000 requests with an agent that keeps 20 connections; 10 MB compared'
node_client() {
    lighttpd_on start_peer
    on_tas node "$helpers/client.js" "http://$peer_ip:8081" 2000 "$work/files" >client.txt
    has client.txt '^answered 2000 of 2000$'
    lighttpd_ends
}
