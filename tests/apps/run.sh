#!/bin/bash
# Unmodified programs of Debian on TAS, each judged by its own load generator or
# by checksums; prints a table. Needs root. `make check-apps` builds and calls it.
#
#   tests/apps/run.sh [--stack tas|linux|preloaded] [--list] [--doc FILE] [CASE...]
#
# The machine under test uses TAS by the preload library, the other one Linux
# sockets. With `--stack linux` both do: the control, which shows that a case is
# right; `preloaded` is the same under the preload library, which finds no service.
# CASE is a pattern such as 'redis*'. `--doc` writes the table into FILE,
# between its two marks.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
# Names in messages.
script=check-apps

# All runs in a process namespace of its own: whatever a program leaves behind,
# daemons included, ends with this script, however that ends.
if [ -z "${TAS_APPS_WORK:-}" ]; then
    [ "$(id -u)" = 0 ] || { echo "$script: needs root, for namespaces: sudo make $script" >&2; exit 1; }
    TAS_APPS_WORK=$(mktemp -d)
    export TAS_APPS_WORK
    setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc -- "$root/tests/apps/run.sh" "$@" &
    inside=$!
    trap 'status=$?; { kill -9 "$inside" || true; wait || true; } 2>/dev/null; rm -rf "$TAS_APPS_WORK"; exit "$status"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    wait "$inside"
    exit
fi
work=$TAS_APPS_WORK
unset TAS_APPS_WORK

stack=tas
list=
doc=
patterns=()
while [ $# -gt 0 ]; do
    case $1 in
    --stack) stack=$2; shift 2 ;;
    --list) list=1; shift ;;
    --doc) doc=$2; shift 2 ;;
    -*) echo "$script: unknown option: $1" >&2; exit 1 ;;
    *) patterns+=("$1"); shift ;;
    esac
done
[ "${#patterns[@]}" -gt 0 ] || patterns=('*')
case $stack in
tas | linux | preloaded) ;;
*) echo "$script: no such stack: $stack" >&2; exit 1 ;;
esac

# shellcheck source=tests/veth/lib.sh
. tests/veth/lib.sh
# shellcheck source=tests/apps/lib.sh
. tests/apps/lib.sh
for file in tests/apps/cases/*.sh; do
    # shellcheck disable=SC1090
    . "$file"
done

selected() {
    local pattern
    for pattern in "${patterns[@]}"; do
        # shellcheck disable=SC2254 # a pattern it is
        case $1 in $pattern) return 0 ;; esac
    done
    return 1
}

if [ -n "$list" ]; then
    for name in "${case_names[@]}"; do
        selected "$name" && echo "$name: ${case_program[$name]} as ${case_role[$name]}: ${case_text[$name]}"
    done
    exit 0
fi

check_programs
# For programs that give up their rights.
chmod 755 "$work"
ulimit -n "$(ulimit -Hn)"
make_machines 1500
if [ "$stack" = tas ]; then
    apps_service
else
    on "$tas_side" ip addr add "$tas_ip/24" dev veth0
fi
make_files

# --- One case -------------------------------------------------------------------------

# Every process there is, but those that stay from case to case: sets `left`. It
# starts none itself, which it would find.
strangers() {
    local pid keep line
    left=()
    for pid in /proc/[0-9]*; do
        pid=${pid#/proc/}
        for keep in 1 "${pids[@]}"; do
            [ "$pid" != "$keep" ] || continue 2
        done
        # Those that have ended and wait to be reaped have no command line.
        line=
        { read -r -d '' line <"/proc/$pid/cmdline"; } 2>/dev/null || true
        [ -z "$line" ] || left+=("$pid")
    done
}

command_of() {
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline"
}

# Ends what a case has left; `sweep aloud` says what that was.
sweep() {
    local pid
    for _ in $(seq 40); do
        strangers
        [ "${#left[@]}" -gt 0 ] || return 0
        for pid in "${left[@]}"; do
            [ "$1" = quietly ] || echo "left running: $(command_of "$pid")"
            kill -9 "$pid" 2>/dev/null || true
        done
        sleep 0.05
    done
}

# run_case NAME: sets `result` and `seconds`; what was said is in $dir/log.
run_case() {
    local name=$1 before end case_pid status=0
    dir=$work/$name
    mkdir -m 755 "$dir"
    before=$(service_now)
    local began=${EPOCHREALTIME/./}
    (
        set -eE
        trap 'echo "failed: $BASH_COMMAND (${FUNCNAME[*]}, lines $LINENO ${BASH_LINENO[*]})"' ERR
        pids=()
        cd "$dir"
        "$name"
    ) >"$dir/log" 2>&1 &
    case_pid=$!
    end=$((SECONDS + ${case_limit[$name]}))
    while kill -0 "$case_pid" 2>/dev/null; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "still at work after ${case_limit[$name]} s" >>"$dir/log"
            status=124
            break
        fi
        sleep 0.05
    done
    if [ "$status" = 124 ]; then
        at_work >>"$dir/log"
        sweep quietly 2>/dev/null
        wait "$case_pid" 2>/dev/null || true
    else
        wait "$case_pid" || status=$?
        if [ "$status" = 0 ]; then
            sweep aloud >"$dir/left"
            [ ! -s "$dir/left" ] || { cat "$dir/left" >>"$dir/log"; status=1; }
        else
            sweep quietly
        fi
    fi
    seconds=$(awk "BEGIN { printf \"%.1f\", (${EPOCHREALTIME/./} - $began) / 1e6 }")
    if ! service_settles "$before" >>"$dir/log" 2>&1; then
        [ "$status" != 0 ] || status=1
    fi
    result=pass
    [ "$status" = 0 ] || result=FAIL
}

# What hangs, and where: in the kernel, and with gdb in the library.
at_work() {
    local pid
    strangers
    for pid in "${left[@]}"; do
        echo "at work: $pid in $(cat "/proc/$pid/wchan" 2>/dev/null): $(command_of "$pid")"
        if command -v gdb >/dev/null && grep -qs libtas_interpose "/proc/$pid/maps"; then
            timeout 20 gdb -p "$pid" -batch -ex 'thread apply all bt' 2>/dev/null | grep -E '^(#|Thread)' || true
        fi
    done
}

# --- All of them ------------------------------------------------------------------------

failed=()
passed=0
printf '%-28s %-6s %-6s %6s  %s\n' case role result time remarks
for name in "${case_names[@]}"; do
    selected "$name" || continue
    run_case "$name"
    remark=$(cat "$dir/note" 2>/dev/null || true)
    printf '%-28s %-6s %-6s %5ss  %s\n' "$name" "${case_role[$name]}" "$result" "$seconds" "$remark"
    echo "| ${case_program[$name]} | ${case_role[$name]} | ${case_text[$name]} | $result | $remark |" >>"$work/table"
    if [ "$result" = pass ]; then
        passed=$((passed + 1))
    else
        failed+=("$name")
        # The end of what each of its programs said.
        { tail -n 8 "$dir"/*.out 2>/dev/null || true; echo; tail -n 30 "$dir/log"; } | cut -c 1-200 | sed 's/^/    /'
    fi
    [ -n "${TAS_APPS_KEEP:-}" ] && cp -r "$dir" "$TAS_APPS_KEEP/"
    rm -rf "$dir"
    service_again
done
[ -z "$doc" ] || write_doc "$doc"

echo
if [ "${#failed[@]}" -gt 0 ]; then
    fail "${#failed[@]} of $((passed + ${#failed[@]})) cases failed: ${failed[*]}"
fi
[ "$passed" -gt 0 ] || fail "no case is called ${patterns[*]}"
echo "$script: $passed cases pass, stack $stack"
