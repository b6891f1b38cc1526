# lighttpd.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

# lighttpd_on WHERE: on port 8081; WHERE is start_tas, start_peer, start_third.
lighttpd_on() {
    cat >lighttpd.conf <<CONF
server.document-root = "$work/files"
server.port = 8081
server.username = "www-data"
server.max-keep-alive-requests = 100000
server.max-fds = 4096
CONF
    "$1" lighttpd lighttpd -D -f "$dir/lighttpd.conf"
    lighttpd=$started
    says lighttpd 'server started'
}

# It ends in order. On Linux, too, its status is 1 now and then.
lighttpd_ends() {
    local status=0
    kill "$lighttpd"
    wait "$lighttpd" || status=$?
    [ "$status" -le 1 ] || fail "lighttpd ended with status $status"
    has lighttpd.out 'server stopped by UID'
}

case_of lighttpd server lighttpd_keepalive 'ab, 100 connections kept alive, 20,000 requests; all answered; 100 MB compared'
lighttpd_keepalive() {
    lighttpd_on start_tas
    on_peer ab -q -n 20000 -c 100 -k "http://$tas_ip:8081/small" >ab.txt
    ab_passes ab.txt 20000
    on_peer curl -sS -o fetched "http://$tas_ip:8081/big"
    same fetched "$work/files/big"
    lighttpd_ends
}

case_of lighttpd server lighttpd_no_keepalive 'ab, a connection for each of 5,000 requests; all answered'
lighttpd_no_keepalive() {
    lighttpd_on start_tas
    on_peer ab -q -n 5000 -c 50 "http://$tas_ip:8081/page" >ab.txt
    ab_passes ab.txt 5000
    lighttpd_ends
}
