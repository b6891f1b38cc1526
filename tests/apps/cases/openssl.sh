# openssl s_server and s_client.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

certificate() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tas -keyout key.pem -out cert.pem 2>/dev/null
}

case_of 'openssl s_server' server openssl_server 'serves 10 MB and 20 small files over TLS to curl; compared'
openssl_server() {
    certificate
    ln -s "$work/files/small" "$work/files/middle" .
    start_tas server openssl s_server -accept 4433 -cert cert.pem -key key.pem -WWW -quiet
    accepts "$tas_ip" 4433
    on_peer curl -sSk -o fetched "https://$tas_ip:4433/middle"
    same fetched middle
    for _ in $(seq 20); do
        on_peer curl -sSk -o fetched "https://$tas_ip:4433/small"
        same fetched small
    done
    ends "$started" 143
}

case_of 'openssl s_client' client openssl_client 'fetches 10 MB over TLS from a Linux server; compared'
openssl_client() {
    certificate
    ln -s "$work/files/middle" .
    start_peer server openssl s_server -accept 4433 -cert cert.pem -key key.pem -WWW -quiet
    accepts "$peer_ip" 4433
    printf 'GET /middle HTTP/1.0\r\n\r\n' >request
    on_tas openssl s_client -connect "$peer_ip:4433" -quiet -ign_eof <request >answer 2>client.txt
    # Without the answer's head.
    sed '1,/^\r$/d' answer >fetched
    same fetched middle
    ends "$started" 143
}

case_of 'openssl s_server' server openssl_echo 's_server -rev: what s_client of Linux types comes back reversed'
openssl_echo() {
    certificate
    start_tas server openssl s_server -accept 4433 -cert cert.pem -key key.pem -rev -quiet
    accepts "$tas_ip" 4433
    { echo hello; sleep 0.5; echo CLOSE; } | on_peer openssl s_client -connect "$tas_ip:4433" -quiet >answer 2>client.txt
    has answer '^olleh$'
    ends "$started" 143
}
