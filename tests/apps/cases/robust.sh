# Programs that end badly, or ask for much. The programs are small ones in
# Python, since the interpreter's own sockets are what is used.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

case_of 'python, killed' server killed 'kill -9 while it holds 200 connections and listens: the peers see their ends; redis beside it does not notice'
killed() {
    local victim load
    redis_on_tas
    redis=$started
    start_peer load redis-benchmark -h "$tas_ip" -t get -n 60000 -c 20 --csv
    load=$started
    start_tas victim "$python" "$helpers/victim.py" 7000
    victim=$started
    says victim listening
    start_peer holder "$python" "$helpers/holder.py" "$tas_ip" 7000 200
    says holder holding
    kill -9 "$victim"
    wait "$victim" || true
    ended "$started"
    ended "$load"
    cli on_peer "$tas_ip" ping | grep -q PONG
    # Its port is free again.
    start_tas victim2 "$python" "$helpers/victim.py" 7000
    says victim2 listening
    ends "$started" 143
    ends "$redis"
}

case_of 'python, killed' client killed_client 'kill -9 while it holds 200 connections to a Linux server: the server sees their ends'
killed_client() {
    local server
    start_peer server "$python" "$helpers/sees_ends.py" 7000 200
    server=$started
    says server listening
    start_tas victim "$python" "$helpers/holder.py" "$peer_ip" 7000 200
    says victim holding
    kill -9 "$started"
    wait "$started" || true
    ended "$server"
}

case_of 'python, 200 children' both children '200 forked children, each with a connection of its own and one to the parent'"'"'s listener; all answered'
children() {
    start_peer echo "$python" "$helpers/asyncio_echo.py" server 0.0.0.0 7001
    echo=$started
    says echo listening
    start_tas parent "$python" "$helpers/children.py" 7000 "$peer_ip" 7001 200
    says parent listening
    on_peer "$python" "$helpers/asyncio_echo.py" client "$tas_ip" 7000 200
    ended "$started"
    ends "$echo"
}

case_of 'python, closes all' both closes_all 'closes every descriptor from 3 on, in three ways, and goes on with new sockets'
closes_all() {
    start_peer echo "$python" "$helpers/asyncio_echo.py" server 0.0.0.0 7001
    echo=$started
    says echo listening
    for way in closerange each loop; do
        start_tas closer "$python" "$helpers/closes_all.py" "$way" 7000 "$peer_ip" 7001
        says closer listening
        on_peer "$python" "$helpers/asyncio_echo.py" client "$tas_ip" 7000 1
        ended "$started"
    done
    ends "$echo"
}

case_of 'python, 10,000 sockets' server sockets_10000 '10,000 connections to one process at a time, all answered by one thread' 60
sockets_10000() {
    start_tas server "$python" "$helpers/many.py" server 7000 10000
    says server listening
    on_peer "$python" "$helpers/many.py" client "$tas_ip" 7000 10000
    ended "$started"
}

case_of 'python, 10,000 sockets' client sockets_10000_client 'one process has 10,000 connections to a Linux server' 60
sockets_10000_client() {
    start_peer server "$python" "$helpers/many.py" server 7000 10000
    says server listening
    on_tas "$python" "$helpers/many.py" client "$peer_ip" 7000 10000
    ended "$started"
}

case_of 'python, blocked' both blocked 'threads blocked in accept, recv, connect, poll, select and epoll_wait for 2 s: less than 1 % of a CPU'
blocked() {
    start_peer silent "$python" "$helpers/asyncio_echo.py" server 0.0.0.0 7001
    says silent listening
    on_tas "$python" "$helpers/blocked.py" 7000 "$peer_ip" 7001 >used.txt
    note "$(cat used.txt)"
    ends "$started"
}
