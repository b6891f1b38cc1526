# Python's own servers and clients.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

case_of 'python asyncio' server asyncio_server 'echo server; 200 connections, each echoes 100 KB in pieces; all compared'
asyncio_server() {
    start_tas server "$python" "$helpers/asyncio_echo.py" server 0.0.0.0 7000
    says server listening
    on_peer "$python" "$helpers/asyncio_echo.py" client "$tas_ip" 7000 200
    ends "$started"
}

case_of 'python asyncio' client asyncio_client 'the same as a client of a Linux server'
asyncio_client() {
    start_peer server "$python" "$helpers/asyncio_echo.py" server 0.0.0.0 7000
    says server listening
    on_tas "$python" "$helpers/asyncio_echo.py" client "$peer_ip" 7000 200
    ends "$started"
}

case_of 'python http.server' server http_server 'a thread for each connection; ab, 2,000 requests; all answered; 100 MB compared'
http_server() {
    start_tas server "$python" -u -m http.server --protocol HTTP/1.1 --bind 0.0.0.0 -d "$work/files" 8000
    says server 'Serving HTTP'
    on_peer ab -q -n 2000 -c 20 "http://$tas_ip:8000/page" >ab.txt
    ab_passes ab.txt 2000
    on_peer curl -sS -o fetched "http://$tas_ip:8000/big"
    same fetched "$work/files/big"
    # By SIGINT it ends in order; a job of a shell would ignore that signal.
    ends "$started" 143
}

case_of 'python urllib' client urllib_client 'urllib and http.client from 8 threads, Linux server, 400 requests; all compared'
urllib_client() {
    lighttpd_on start_peer
    on_tas "$python" "$helpers/http_client.py" "$peer_ip" 8081 "$work/files"
    lighttpd_ends
}
