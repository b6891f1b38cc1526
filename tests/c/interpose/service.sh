#!/bin/bash
# service.sh [LIBRARY]: under the preload beside a service: whose each socket is,
# and what only interposition does, which prints the same on TAS as on Linux
# sockets. Needs root. Prints what fails and `N passed, M failed`.
set -euo pipefail
script=check-interpose
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
library=$(realpath "${1:-$root/lib/libtas_interpose.so}")
work=$(mktemp -d)
chmod 755 "$work"
# shellcheck source=tests/veth/lib.sh
. "$root/tests/veth/lib.sh"
# shellcheck disable=SC2154 # tas_side, linux_side, ... are veth/lib.sh's

passed=0
failed=0
CC=${CC:-cc}
for program in talk own; do
    $CC -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -o "$work/$program" "$here/$program.c"
done
$CC -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -fPIC -shared -o "$work/libearly.so" "$here/early_talk.c"
$CC -o "$work/early" "$here/early_main.c" "$work/libearly.so" -Wl,-rpath,"$work"

make_machines 1500
# The kernel reaches another network by the same interface, and 10.77.0.64/26,
# a part of the service's network, by a route of its own.
on "$tas_side" ip addr add 10.79.0.1/24 dev veth0
on "$linux_side" ip addr add 10.79.0.2/24 dev veth0
on "$tas_side" ip route add 10.77.0.64/26 via 10.79.0.2
on "$linux_side" ip addr add 10.77.0.65/32 dev veth0
for conf in all lo; do
    on "$tas_side" sh -c "echo 0 >/proc/sys/net/ipv6/conf/$conf/disable_ipv6"
done
service_options net_af_packet0,iface=veth0
options+=(--shm-mode=666)
start_service

cat >"$work/echo.py" <<'END'
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
server = Server(("0.0.0.0", 7000), Echo)
print("listening", flush=True)
server.serve_forever()
END
for side in "$linux_side" "$tas_side"; do
    start_on "$side" "$work/echo.out" python3 "$work/echo.py"
    wait_for 10 "$work/echo.out" listening "$started"
done

under_tas() { # [VARIABLE=VALUE...] PROGRAM ARGUMENT...
    on "$tas_side" env LD_PRELOAD="$library" TAS_INTERPOSE_REQUIRED=1 TAS_INTERPOSE_LOG="$work/log" "$@"
}

# logged TEXT...: the log has exactly these lines, without the names before them.
logged() {
    sed 's/^libtas_interpose\[[0-9]*\]: //' "$work/log" >"$work/said" 2>/dev/null || : >"$work/said"
    printf '%s\n' "$@" | diff -u - "$work/said" >"$work/why"
}

# --- Whose a connection is -----------------------------------------------------

# connects ADDRESS OWNER [VARIABLE=VALUE...]
connects() {
    local to=$1 owner=$2 shown=$1 said=0
    shift 2
    [[ $to != *:* ]] || shown="[$to]"
    rm -f "$work/log"
    under_tas "$@" timeout 20 "$work/own" connect "$to" 7000 >"$work/out" 2>&1 || said=$?
    { echo "connect $shown:7000: $owner" | diff -u - <(sed 's/^libtas_interpose\[[0-9]*\]: //' "$work/log") &&
        grep -q '^connect(fd, addr, len) = 0$' "$work/out" && [ "$said" = 0 ]; } >"$work/why" 2>&1 ||
        { cat "$work/out" >>"$work/why"; false; }
}

try() {
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $*"
        sed 's/^/    /' "$work/why"
    fi
}

try connects 10.77.0.2 TAS
try connects ::ffff:10.77.0.2 TAS
try connects 127.0.0.1 'kernel (loopback)'
try connects 0.0.0.0 'kernel (loopback)'
try connects ::ffff:127.0.0.1 'kernel (loopback)'
try connects 10.79.0.2 'kernel (no route by TAS)'
try connects 10.79.0.1 'kernel (no route by TAS)'
try connects 10.77.0.65 'kernel (the kernel has a longer route)'
try connects 10.77.0.65 'kernel (by the rules)' TAS_INTERPOSE_CONNECT=-10.77.0.64/26
try connects 127.0.0.1 'kernel (loopback)' TAS_INTERPOSE_CONNECT=+127.0.0.0/8

# --- Whose a listener is -------------------------------------------------------

# greets SIDE ADDRESS PORT: echoes there.
greets() {
    on "$1" timeout 20 python3 -c '
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family)
s.connect((sys.argv[1], int(sys.argv[2])))
s.sendall(b"hello")
assert s.recv(5, socket.MSG_WAITALL) == b"hello"
' "$2" "$3"
}

next_port=7100
# listens ADDRESS OWNER SIDE PEER [VARIABLE=VALUE...]: who connects from SIDE to
# PEER is answered.
listens() {
    local at=$1 owner=$2 side=$3 to=$4 shown=$1 status=0
    shift 4
    [[ $at != *:* ]] || shown="[$at]"
    next_port=$((next_port + 1))
    rm -f "$work/log"
    # `nsenter` becomes the program, so it can be waited for.
    start_on "$tas_side" "$work/out" env LD_PRELOAD="$library" TAS_INTERPOSE_REQUIRED=1 \
        TAS_INTERPOSE_LOG="$work/log" "$@" timeout 30 "$work/own" listen "$at" "$next_port"
    local server=$started
    wait_for 10 "$work/out" 'listen(fd, 8) = 0' "$server"
    greets "$side" "$to" "$next_port" >"$work/why" 2>&1 || status=$?
    kill "$server" 2>/dev/null || true
    wait "$server" || true
    sed 's/^libtas_interpose\[[0-9]*\]: //' "$work/log" | grep -qxF "listen $shown:$next_port: $owner" ||
        { cat "$work/log" "$work/out" >>"$work/why"; return 1; }
    [ "$status" = 0 ]
}

# listens_in_kernel: the same, when bind has told already.
listens_in_kernel() {
    local at=$1 reason=$2 side=$3 to=$4 shown=$1 status=0
    [[ $at != *:* ]] || shown="[$at]"
    next_port=$((next_port + 1))
    rm -f "$work/log"
    start_on "$tas_side" "$work/out" env LD_PRELOAD="$library" TAS_INTERPOSE_REQUIRED=1 \
        TAS_INTERPOSE_LOG="$work/log" timeout 30 "$work/own" listen "$at" "$next_port"
    local server=$started
    wait_for 10 "$work/out" 'listen(fd, 8) = 0' "$server"
    greets "$side" "$to" "$next_port" >"$work/why" 2>&1 || status=$?
    kill "$server" 2>/dev/null || true
    wait "$server" || true
    logged "bind $shown:$next_port: kernel ($reason)" && [ "$status" = 0 ]
}

for at in 0.0.0.0 ::; do
    try listens $at TAS "$linux_side" "$tas_ip"
    try listens $at TAS "$tas_side" 127.0.0.1
    try listens $at TAS "$linux_side" 10.79.0.1
done
try listens :: TAS "$tas_side" ::1
try listens "$tas_ip" TAS "$linux_side" "$tas_ip"
try listens "::ffff:$tas_ip" TAS "$linux_side" "$tas_ip"
try listens 0.0.0.0 'kernel (by the rules)' "$tas_side" 127.0.0.1 TAS_INTERPOSE_LISTEN=-:7000-7999
try listens_in_kernel 127.0.0.1 loopback "$tas_side" 127.0.0.1
try listens_in_kernel ::1 loopback "$tas_side" ::1
try listens_in_kernel 10.79.0.1 'not an address of TAS' "$linux_side" 10.79.0.1

# --- What only interposition does -------------------------------------------------

talks() { # PROGRAM [VARIABLE=VALUE...]
    local program=$1
    shift
    rm -f "$work/log"
    under_tas "$@" timeout 60 "$work/$program" "$linux_ip" 7000 >"$work/actual" 2>&1 || echo "status $?" >>"$work/actual"
    diff -u "$work/expected" "$work/actual" >"$work/why" &&
        grep -q "connect $linux_ip:7000: TAS" "$work/log"
}

on "$linux_side" timeout 60 "$work/talk" "$linux_ip" 7000 >"$work/expected" 2>&1
try talks talk
try talks early
for allocator in libjemalloc.so.2 libtcmalloc_minimal.so.4; do
    try talks talk LD_PRELOAD="$library $allocator"
    try talks early LD_PRELOAD="$allocator $library"
done

# --- tas-run -------------------------------------------------------------------

runs() { # EXPECTED-STATUS TEXT SIDE USER [ARGUMENT...]
    local expected=$1 text=$2 side=$3 user=$4 status=0
    shift 4
    on "$side" setpriv --reuid="$user" --regid="$user" --clear-groups \
        "$root/tools/tas-run" "$@" >"$work/why" 2>&1 || status=$?
    [ "$status" = "$expected" ] && grep -qF -- "$text" "$work/why"
}

$CC -static -o "$work/static" -x c - <<'END'
int main(void) { return 0; }
END
printf '#! %s\n' "$work/static" >"$work/script"
cp /bin/echo "$work/privileged"
chmod 4755 "$work/privileged" && chmod 755 "$work/script"
connect=("$work/own" connect "$linux_ip" 7000)
try runs 0 'connect(fd, addr, len) = 0' "$tas_side" 0 "${connect[@]}"
try runs 0 'connect(fd, addr, len) = 0' "$tas_side" 65534 "${connect[@]}"
try runs 0 "connect $linux_ip:7000: TAS" "$tas_side" 0 --log "${connect[@]}"
try runs 0 'kernel (by the rules)' "$tas_side" 0 --log --connect=-:7000 "${connect[@]}"
try runs 1 "':x': no port number; ending" "$tas_side" 0 --connect=:x "${connect[@]}"
try runs 127 'no-such-program: no such program' "$tas_side" 0 no-such-program
try runs 126 'not executable' "$tas_side" 0 /etc/passwd
try runs 126 'static: statically linked' "$tas_side" 0 "$work/static"
try runs 126 "script: its interpreter $work/static is statically linked" "$tas_side" 0 "$work/script"
try runs 126 'privileged: set-uid' "$tas_side" 65534 "$work/privileged"
try runs 0 fine "$tas_side" 0 "$work/privileged" fine
try runs 1 'no TAS service is running' "$linux_side" 0 "${connect[@]}"
try runs 0 "running on the kernel's sockets" "$linux_side" 0 --fallback "${connect[@]}"

stop "$tas_pid" || true
on "$tas_side" find /dev/shm -mindepth 1 -delete
options=("${options[@]/--shm-mode=666/--quiet}")
start_service
try runs 1 'refuses this user' "$tas_side" 65534 "${connect[@]}"
try runs 0 'connect(fd, addr, len) = 0' "$tas_side" 0 "${connect[@]}"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
