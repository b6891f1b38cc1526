# curl, wrk and ab, as clients of a Linux server.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

case_of curl client curl_download '100 MB; compared'
curl_download() {
    nginx_on start_peer 1
    on_tas curl -sS -o fetched -w '%{speed_download}\n' "http://$peer_ip:8080/big" >speed
    same fetched "$work/files/big"
    note "$(awk '{ printf "%.2f Gbit/s", $1 * 8 / 1e9 }' speed)"
    ends "$nginx"
}

case_of curl client curl_upload '100 MB by PUT to nginx; compared'
curl_upload() {
    mkdir -m 777 up
    nginx_on start_peer 1 "location /up { root $dir; dav_methods PUT; client_max_body_size 0; client_body_temp_path $dir/up; }"
    on_tas curl -sS -T "$work/files/big" "http://$peer_ip:8080/up/big"
    same up/big "$work/files/big"
    ends "$nginx"
}

case_of curl client curl_parallel '200 files, 20 at a time, over HTTP/1.1; compared'
curl_parallel() {
    local i
    nginx_on start_peer 2
    on_tas curl -sS --parallel --parallel-max 20 --no-progress-meter -o 'got#1' "http://$peer_ip:8080/page?[1-200]"
    for i in $(seq 200); do
        same "got$i" "$work/files/page"
    done
    ends "$nginx"
}

case_of wrk client wrk_client '2 threads, 100 connections; no errors'
wrk_client() {
    nginx_on start_peer 2
    on_tas wrk -t 2 -c 100 -d 2s "http://$peer_ip:8080/small" >wrk.txt
    wrk_passes wrk.txt
    ends "$nginx"
}

case_of ab client ab_keepalive '50 connections kept alive, 20,000 requests; all answered'
ab_keepalive() {
    nginx_on start_peer 2
    on_tas ab -q -n 20000 -c 50 -k "http://$peer_ip:8080/small" >ab.txt
    ab_passes ab.txt 20000
    ends "$nginx"
}

case_of ab client ab_no_keepalive 'a connection for each of 5,000 requests; all answered'
ab_no_keepalive() {
    nginx_on start_peer 2
    on_tas ab -q -n 5000 -c 50 "http://$peer_ip:8080/page" >ab.txt
    ab_passes ab.txt 5000
    ends "$nginx"
}
