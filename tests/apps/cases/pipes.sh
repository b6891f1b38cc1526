# socat and netcat.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of run.sh, lib.sh and veth/lib.sh

case_of socat server socat_fork 'a child for each connection, which runs cat; 20 at a time echo 1 MB each; compared'
socat_fork() {
    local i clients=()
    head -c 1048576 "$work/files/big" >sent
    start_tas socat socat TCP-LISTEN:7000,fork,reuseaddr,backlog=64 EXEC:/bin/cat
    accepts "$tas_ip" 7000
    for i in $(seq 20); do
        start_peer "client$i" sh -c "socat -t 10 - TCP:$tas_ip:7000 <sent >echoed$i"
        clients+=("$started")
    done
    ended "${clients[@]}"
    for i in $(seq 20); do
        same "echoed$i" sent
    done
    # Its children have ended; it ends by the signal.
    ends "${pids[0]}" 143
}

case_of socat server socat_between 'from TAS to a Linux socket, 10 MB each way; compared'
socat_between() {
    start_peer echo socat TCP-LISTEN:7001,reuseaddr,fork EXEC:/bin/cat
    echo=$started
    accepts "$peer_ip" 7001
    start_tas socat socat TCP-LISTEN:7000,reuseaddr,fork TCP:"$peer_ip":7001
    accepts "$tas_ip" 7000
    on_peer sh -c "socat -t 10 - TCP:$tas_ip:7000 <$work/files/middle >echoed"
    same echoed "$work/files/middle"
    ends "$started" 143
    ends "$echo" 143
}

case_of socat client socat_client 'sends 10 MB to an echo server, half-closes, gets them back; compared'
socat_client() {
    start_peer echo socat TCP-LISTEN:7001,reuseaddr,fork EXEC:/bin/cat
    accepts "$peer_ip" 7001
    on_tas sh -c "socat -t 10 - TCP:$peer_ip:7001 <$work/files/middle >echoed"
    same echoed "$work/files/middle"
    ends "$started" 143
}

# nc_transfers SENDER RECEIVER IP LISTENER: one of them listens; both end by themselves.
# `nc` can only be asked once, so the one who connects tries until it is let in.
case_of netcat server netcat_receives 'listens, receives 10 MB; compared'
netcat_receives() {
    start_tas nc sh -c 'nc -l 7000 </dev/null >received'
    until on_peer nc -N "$tas_ip" 7000 <"$work/files/middle"; do sleep 0.05; done
    ended "$started"
    same received "$work/files/middle"
}

case_of netcat server netcat_sends 'listens, sends 10 MB; compared'
netcat_sends() {
    start_tas nc sh -c "nc -N -l 7000 <$work/files/middle"
    until on_peer nc -d "$tas_ip" 7000 >received; do sleep 0.05; done
    ended "$started"
    same received "$work/files/middle"
}

case_of netcat client netcat_client 'sends 10 MB to a Linux listener, and receives 10 MB from one; compared'
netcat_client() {
    start_peer nc sh -c 'nc -l 7000 </dev/null >received'
    until on_tas nc -N "$peer_ip" 7000 <"$work/files/middle"; do sleep 0.05; done
    ended "$started"
    same received "$work/files/middle"
    start_peer nc2 sh -c "nc -N -l 7001 <$work/files/middle"
    until on_tas nc -d "$peer_ip" 7001 >received2; do sleep 0.05; done
    ended "$started"
    same received2 "$work/files/middle"
}

case_of netcat client netcat_refused 'a port that nobody listens on: refused, status 1; `-z` finds an open one'
netcat_refused() {
    local status=0
    on_tas nc -w 5 "$peer_ip" 7000 2>refused.txt </dev/null || status=$?
    [ "$status" = 1 ] || fail "status $status"
    on_tas nc -v -w 5 "$peer_ip" 7000 2>refused.txt </dev/null || true
    has refused.txt 'Connection refused'
    start_peer nc nc -k -l 7000
    accepts "$peer_ip" 7000
    on_tas nc -z "$peer_ip" 7000
    ends "$started" 143
}
