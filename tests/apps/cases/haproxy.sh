# haproxy: server and client at once, two threads, splicing where it can.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

# haproxy_between MODE: from port 8080 to the Linux machine's lighttpd. As Debian
# starts it: master and worker, which gives up its rights and changes its root.
haproxy_between() {
    lighttpd_on start_peer
    mkdir -p empty
    cat >haproxy.cfg <<CONF
global
    maxconn 2000
    nbthread 2
    user www-data
    group www-data
    chroot $dir/empty
defaults
    mode $1
    option splice-auto
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind :8080
    default_backend back
backend back
    server one $peer_ip:8081
CONF
    start_tas haproxy haproxy -W -f "$dir/haproxy.cfg"
    haproxy=$started
    accepts "$tas_ip" 8080
}

# What goes through it.
haproxy_passes() {
    on_peer ab -q -n 10000 -c 50 -k "http://$tas_ip:8080/small" >ab.txt
    on_peer ab -q -n 2000 -c 50 "http://$tas_ip:8080/page" >ab2.txt
    ab_passes ab2.txt 2000
    ab_passes ab.txt 10000
    on_peer curl -sS -o fetched "http://$tas_ip:8080/big"
    same fetched "$work/files/big"
    ends "$haproxy"
    lighttpd_ends
}

case_of haproxy both haproxy_tcp 'tcp mode, two threads, to a Linux server; 12,000 requests; 100 MB compared'
haproxy_tcp() {
    haproxy_between tcp
    haproxy_passes
}

case_of haproxy both haproxy_http 'http mode, the same'
haproxy_http() {
    haproxy_between http
    haproxy_passes
}
