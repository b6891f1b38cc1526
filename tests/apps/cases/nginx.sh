# nginx: workers that accept from an inherited listener, sendfile, reload, proxy.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

# nginx_conf WORKERS SERVER: writes nginx.conf; SERVER is what stands in `server { }`.
nginx_conf() {
    cat >nginx.conf <<CONF
worker_processes $1;
pid $dir/nginx.pid;
user www-data;
error_log $dir/error.out error;
worker_rlimit_nofile 8192;
events { worker_connections 2048; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    default_type application/octet-stream;
    upstream behind { server ${upstream:-127.0.0.1:1}; keepalive 16; }
    server { listen 8080; root $work/files; $2 }
}
CONF
}

# nginx_on WHERE WORKERS [SERVER]: WHERE is start_tas or start_peer. Sets `nginx`.
nginx_on() {
    local ip=$tas_ip
    [ "$1" = start_tas ] || ip=$peer_ip
    nginx_conf "$2" "${3:-}"
    "$1" nginx nginx -p "$dir" -c nginx.conf -g 'daemon off;'
    nginx=$started
    accepts "$ip" 8080
}

# fetch WHERE IP FILE: by curl, and compares.
fetch() {
    "$1" curl -sS -o fetched "http://$2:8080/$3"
    same fetched "$work/files/$3"
}

no_errors() {
    [ ! -s error.out ] || fail "nginx says: $(tail -n 5 error.out)"
}

case_of nginx server nginx_1_worker 'one worker; wrk, 64 connections kept alive, 20 KB by sendfile; no errors; 100 MB compared'
nginx_1_worker() {
    nginx_on start_tas 1
    on_peer wrk -t 2 -c 64 -d 2s "http://$tas_ip:8080/page" >wrk.txt
    wrk_passes wrk.txt
    fetch on_peer "$tas_ip" big
    ends "$nginx"
    no_errors
}

case_of nginx server nginx_4_workers 'four workers; wrk, 256 connections kept alive, 1 KB; no errors; 10 MB compared'
nginx_4_workers() {
    nginx_on start_tas 4
    on_peer wrk -t 2 -c 256 -d 2s "http://$tas_ip:8080/small" >wrk.txt
    wrk_passes wrk.txt
    fetch on_peer "$tas_ip" middle
    ends "$nginx"
    no_errors
}

case_of nginx server nginx_no_keepalive 'four workers; ab, a connection for each of 10,000 requests; all answered'
nginx_no_keepalive() {
    nginx_on start_tas 4
    on_peer ab -q -n 10000 -c 50 "http://$tas_ip:8080/small" >ab.txt
    ab_passes ab.txt 10000
    ends "$nginx"
    no_errors
}

case_of nginx server nginx_reload 'four workers; reload (SIGHUP) five times under ab, a connection for each request; all answered'
nginx_reload() {
    local load
    nginx_on start_tas 4
    start_peer ab ab -q -n 15000 -c 20 "http://$tas_ip:8080/page"
    load=$started
    for _ in 1 2 3 4 5; do
        sleep 0.2
        kill -HUP "$nginx"
    done
    ended "$load"
    ab_passes ab.out 15000
    fetch on_peer "$tas_ip" small
    ends "$nginx"
    no_errors
}

proxy='location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }'

# Requests through the proxy, which are answered and compared.
nginx_proxies() {
    on_peer ab -q -n 10000 -c 50 -k "http://$tas_ip:8080/small" >ab.txt
    ab_passes ab.txt 10000
    fetch on_peer "$tas_ip" middle
    ends "$nginx"
    no_errors
}

case_of nginx both nginx_proxy_linux 'proxy to a Linux server, connections kept and new; 10,000 requests; 10 MB compared'
nginx_proxy_linux() {
    lighttpd_on start_peer
    upstream=$peer_ip:8081
    nginx_on start_tas 2 "$proxy"
    nginx_proxies
    lighttpd_ends
}

case_of nginx both nginx_proxy_tas 'the same to a server on TAS on another machine'
nginx_proxy_tas() {
    third_machine
    lighttpd_on start_third
    upstream=$third_ip:8081
    nginx_on start_tas 2 "$proxy"
    nginx_proxies
    lighttpd_ends
    no_third_machine
}

case_of nginx both nginx_proxy_self 'the same to a server on the same TAS, by its own address'
nginx_proxy_self() {
    lighttpd_on start_tas
    upstream=$tas_ip:8081
    nginx_on start_tas 2 "$proxy"
    nginx_proxies
    lighttpd_ends
}

case_of nginx both nginx_proxy_loopback 'the same to a server on TAS on the same machine, through 127.0.0.1'
nginx_proxy_loopback() {
    lighttpd_on start_tas
    upstream=127.0.0.1:8081
    nginx_on start_tas 2 "$proxy"
    nginx_proxies
    lighttpd_ends
}
