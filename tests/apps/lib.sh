# What the cases of tests/apps are written with, to be sourced after
# tests/veth/lib.sh, whose machines and service they use.
# shellcheck shell=bash
# shellcheck disable=SC2154 # root, work, dir, stack, tas_side, ... are run.sh's and veth/lib.sh's

peer_ip=$linux_ip
preload=$root/lib/libtas_interpose.so
# Debian's, whichever else there is.
python=/usr/bin/python3
helpers=$root/tests/apps/programs

# --- Which cases there are ----------------------------------------------------------

case_names=()
declare -A case_program case_role case_text case_limit

# case_of PROGRAM ROLE NAME TEXT [SECONDS]: the function NAME is a case. ROLE is
# what the program is on the machine under test: server, client or both. TEXT
# says what is done and what must hold.
case_of() {
    case_names+=("$3")
    case_program[$3]=$1
    case_role[$3]=$2
    case_text[$3]=$4
    case_limit[$3]=${TAS_APPS_LIMIT:-${5:-40}}
}

check_programs() {
    local tool
    for tool in ip ethtool nsenter unshare redis-server redis-benchmark memcached memcaslap nginx \
        lighttpd haproxy node iperf3 curl wrk ab socat nc openssl sockperf "$python"; do
        command -v "$tool" >/dev/null || fail "$tool is missing: make deps-apps installs it"
    done
    [ "$stack" = linux ] || [ -f "$preload" ] || fail "$preload is missing: run make"
}

# --- Running programs ------------------------------------------------------------------

# What makes a program use TAS. Without a service that would be an error, not a
# way to Linux sockets.
under_tas() {
    case $stack in
    tas) echo TAS_INTERPOSE_REQUIRED=1 "LD_PRELOAD=$preload" ;;
    preloaded) echo "LD_PRELOAD=$preload" ;;
    esac
}

# on_tas COMMAND...: on the machine under test and its stack, in this directory.
on_tas() {
    # shellcheck disable=SC2046 # words
    on "$tas_side" env -C "$PWD" $(under_tas) "$@"
}

# on_peer COMMAND...: on the other machine, on Linux sockets.
on_peer() {
    on "$linux_side" env -C "$PWD" "$@"
}

# start_tas NAME COMMAND...: the same in the background; its output is in
# NAME.out, its process id in `started`.
start_tas() {
    local name=$1
    shift
    # shellcheck disable=SC2046 # words
    start_on "$tas_side" "$dir/$name.out" env -C "$PWD" $(under_tas) "$@"
}

start_peer() {
    local name=$1
    shift
    start_on "$linux_side" "$dir/$name.out" env -C "$PWD" "$@"
}

# ends PID [STATUS]: SIGTERM ends it, with this status.
ends() {
    local status=0
    kill "$1"
    wait "$1" || status=$?
    [ "$status" = "${2:-0}" ] || fail "ended with status $status, not ${2:-0}"
}

# ended PID...: each has ended or ends by itself, with status 0.
ended() {
    local pid status
    for pid in "$@"; do
        status=0
        wait "$pid" || status=$?
        [ "$status" = 0 ] || fail "process $pid ended with status $status"
    done
}

# accepts IP PORT: waits until somebody accepts connections there.
accepts() {
    local _
    for _ in $(seq 200); do
        if on_peer timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; then
            return 0
        fi
        sleep 0.05
    done
    fail "nobody accepts connections to $1:$2"
}

# says NAME TEXT: waits until the program started under that name says it.
says() {
    wait_for 10 "$dir/$1.out" "$2" "$started"
}

# --- A third machine -------------------------------------------------------------

third_ip=10.78.0.1

# A machine behind the Linux machine, which is its router, with the stack under
# test: sets `third_side`.
third_machine() {
    new_machine
    third_side=$machine
    on "$linux_side" ip link add veth1 type veth peer name veth0 netns "$third_side"
    plain_link "$third_side" 1500
    on "$linux_side" ethtool -K veth1 tx off rx off tso off gso off gro off >/dev/null
    on "$linux_side" ip link set veth1 up
    on "$linux_side" ip addr add 10.78.0.2/24 dev veth1
    on "$linux_side" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    if [ "$stack" = tas ]; then
        local options
        service_options net_af_packet0,iface=veth0
        options[0]=--ip-addr=$third_ip/24
        options+=("--ip-route=10.77.0.0/24,10.78.0.2")
        start_on "$third_side" "$dir/third.out" "$root/tas/tas" "${options[@]}"
        third_service=$started
        wait_for 30 "$dir/third.out" "TAS ready" "$started"
    else
        on "$third_side" ip addr add "$third_ip/24" dev veth0
        on "$third_side" ip route add 10.77.0.0/24 via 10.78.0.2
        on "$tas_side" ip route replace 10.78.0.0/24 via "$peer_ip"
    fi
}

# start_third NAME COMMAND...: as start_tas, on the third machine.
start_third() {
    local tas_side=$third_side
    start_tas "$@"
}

no_third_machine() {
    [ "$stack" != tas ] || ends "$third_service"
    kill "$third_side"
    wait "$third_side" || true
}

# --- Judging ------------------------------------------------------------------------------

# Shown in the table.
note() {
    echo "$*" >"$dir/note"
}

# has FILE PATTERN: what is in a file, for results.
has() {
    grep -Eq -- "$2" "$1" || { tail -n 20 "$1"; fail "$1 does not say '$2'"; }
}

has_not() {
    ! grep -E -- "$2" "$1" || fail "$1 says '$2'"
}

# same FILE FILE: byte for byte.
same() {
    cmp "$1" "$2" || fail "$1 ($(stat -c %s "$1") bytes) differs from $2 ($(stat -c %s "$2") bytes)"
}

# How many times `ab` counted what it should count: ab_passes FILE REQUESTS.
ab_passes() {
    has "$1" "^Complete requests: +$2\$"
    has "$1" '^Failed requests: +0$'
    has_not "$1" '^Non-2xx responses'
    note "$(sed -n 's/^Requests per second: *\([0-9]*\).*/\1 requests\/s/p' "$1")"
}

wrk_passes() {
    has_not "$1" 'Socket errors|Non-2xx'
    has "$1" '^ *[1-9][0-9]* requests in'
    note "$(sed -n 's/^Requests\/sec: *\([0-9]*\).*/\1 requests\/s/p' "$1")"
}

# --- Files to be transferred ---------------------------------------------------------------

# In $work/files, readable by everybody: small (1 KB), page (20 KB), middle (10 MB), big (100 MB).
make_files() {
    mkdir -m 755 "$work/files"
    head -c 1024 /dev/urandom >"$work/files/small"
    head -c 20480 /dev/urandom >"$work/files/page"
    head -c 10485760 /dev/urandom >"$work/files/middle"
    head -c 104857600 /dev/urandom >"$work/files/big"
}

# --- The service ------------------------------------------------------------------------------

# Open to all users, since programs give up their rights before they make their first socket; with
# buffers of a size with which both many connections and long transfers work.
apps_service() {
    local own
    service_options net_af_packet0,iface=veth0
    options+=(--shm-mode=666 --tcp-rxbuf-len=65536 --tcp-txbuf-len=65536 --app-shm-len=4294967296
        "--ip-route=10.78.0.0/24,$peer_ip")
    read -r -a own <<<"${TAS_APPS_OPTIONS:-}"
    options+=("${own[@]}")
    start_service
}

# What the service holds for programs, in one line.
service_now() {
    [ "$stack" = tas ] || return 0
    on "$tas_side" "$root/tools/tas-top" --once --json -d 0.1 >"$work/top.json" || return 0
    "$python" - "$work/top.json" <<'PYTHON'
import json, sys
groups = json.load(open(sys.argv[1]))["groups"]
slow = groups["slow"][0]
held = {name: slow[name] for name in ("connections", "opening", "time_wait", "listeners")}
held["programs"] = len(groups["app"])
held["bad_entries"] = sum(core["app_bad_entries"] for core in groups["core"])
print(" ".join(f"{name}={number}" for name, number in held.items()))
PYTHON
    # Its descriptors would grow with what it forgets to close.
    echo "descriptors=$(find "/proc/$tas_pid/fd" -mindepth 1 2>/dev/null | wc -l)" \
        "files=$(on "$tas_side" find /dev/shm -mindepth 1 | wc -l)"
}

# service_settles BEFORE: it holds again what it held before.
service_settles() {
    local now
    [ "$stack" = tas ] || return 0
    for _ in $(seq 80); do
        kill -0 "$tas_pid" 2>/dev/null || { tail -n 20 "$work/tas.out"; echo "the service has ended"; return 1; }
        now=$(service_now)
        [ "$now" != "$1" ] || return 0
        sleep 0.05
    done
    printf 'the service held before: %s\nand holds now: %s\n' "$1" "$now" | tr '\n' ' '
    echo
    return 1
}

# After a failure the next case starts from a service that holds nothing.
service_again() {
    [ "$stack" = tas ] && [ "$result" != pass ] || return 0
    kill -9 "$tas_pid" 2>/dev/null || true
    wait "$tas_pid" 2>/dev/null || true
    on "$tas_side" find /dev/shm -mindepth 1 -delete
    local kept=() pid
    for pid in "${pids[@]}"; do
        [ "$pid" = "$tas_pid" ] || kept+=("$pid")
    done
    pids=("${kept[@]}")
    start_service
}

# --- The table in doc/ ------------------------------------------------------------------------

# Between the marks, which remain.
write_doc() {
    {
        sed '/<!-- results -->/q' "$1"
        echo "| program | is | case | result | |"
        echo "| --- | --- | --- | --- | --- |"
        cat "$work/table"
        sed -n '/<!-- end of results -->/,$p' "$1"
    } >"$work/doc"
    cat "$work/doc" >"$1"
}
