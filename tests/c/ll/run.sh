#!/bin/sh
# run.sh [LIBRARY]: the low-level library, driven from C. Prints what fails and
# `N passed, M failed`; status 1 if anything failed. PROGRAMS="name..." runs only
# those, of the ones that need no service.
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
library=$(realpath "${1:-$top/lib/libtas.so}")
CC=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

compile() {
    output=$1
    shift
    (cd "$here" && $CC -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -O1 -pthread \
        -I"$top/include" -I"$top/lib/tas/include" -o "$work/$output" "$@")
}

# Compiles like the others and counts as one test.
check() {
    name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/    /' "$work/log"
    fi
}

for program in ${PROGRAMS:-contexts data ends sleep owndata}; do
    if ! compile "$program" "$program.c" harness.c "$library" -Wl,-rpath,"$(dirname "$library")"
    then
        failed=$((failed + 1))
        continue
    fi
    "$work/$program" >"$work/log" 2>"$work/stderr"
    grep -v '^[0-9]* passed, [0-9]* failed$' "$work/log"
    counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$work/log")
    set -- ${counts:-0 1}
    passed=$((passed + $1))
    failed=$((failed + $2))
    # Complaints are lines with the library's name in front, and nothing else.
    check "$program: stderr" sh -c '! grep -v "^libtas: " "$1"' - "$work/stderr"
done

# Sockets and regions have fixed names, so these run in namespaces of their own.
isolated() {
    unshare -mn sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' - timeout 60 "$@"
}

attach=$work/attach
fake=$work/fake_service
if [ -n "${PROGRAMS:-}" ]; then
    :
elif compile attach attach.c "$library" -Wl,-rpath,"$(dirname "$library")" &&
    compile fake_service fake_service.c && compile legacy_client legacy_client.c; then
    check 'no service' isolated "$attach" absent
    check 'a service that is not ready' isolated "$fake" -n "$attach" not-ready
    check 'refusals of an original service' isolated "$fake" "$attach" refused
    check 'echo of an original service' isolated "$fake" "$attach" echo
    check 'echo of an original service, 7 cores' isolated "$fake" -c 7 "$attach" echo
    check 'echo of an original service, 16 cores' isolated "$fake" -c 16 "$attach" echo
    check 'closes before the answer, original service' isolated "$fake" "$attach" cancel
    check 'the end of the service' isolated "$fake" -k 1 "$attach" death
    check 'an original library, as a client' isolated "$fake" -c 5 \
        "$work/legacy_client" connect 10.0.0.2 80 300000
else
    failed=$((failed + 1))
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
