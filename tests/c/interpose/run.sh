#!/bin/sh
# run.sh [LIBRARY]: programs that use no service print the same with the library
# preloaded as without, and nothing of the library's. Prints what fails and
# `N passed, M failed`; status 1 if anything failed.
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
library=$(realpath "${1:-$top/lib/libtas_interpose.so}")
CC=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

fail() {
    failed=$((failed + 1))
    echo "FAIL $1"
    sed 's/^/    /' "$work/log"
}

compile() {
    output=$1
    shift
    (cd "$here" && $CC -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -pthread \
        -o "$work/$output" "$@") || exit 1
}

for program in calls numbers processes threads load absent; do
    compile $program -O1 $program.c
done
compile libearly.so -O1 -fPIC -shared early.c
compile early -O1 early_main.c "$work/libearly.so" -Wl,-rpath,"$work"
compile fortified -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 fortified.c
# Or the fortified variants would not be what is tested.
for name in read recv recvfrom poll ppoll dprintf; do
    nm "$work/fortified" >"$work/log"
    grep -q "U __${name}_chk" "$work/log" || fail "fortified calls __${name}_chk"
done

# One after the other from here on: what a program prints is a list of what its
# calls return. Ways to start it: name and environment.
allocators='libjemalloc.so.2 libtcmalloc_minimal.so.4'
run() { # HOW PROGRAM ARGUMENT...
    how=$1
    shift
    case $how in
    alone) env "$@" ;;
    preloaded) env LD_PRELOAD="$library" "$@" ;;
    disabled) env LD_PRELOAD="$library" TAS_INTERPOSE_DISABLE=1 "$@" ;;
    before-*) env LD_PRELOAD="$library ${how#before-}" "$@" ;;
    after-*) env LD_PRELOAD="${how#after-} $library" "$@" ;;
    esac
}

ways='preloaded disabled'
for allocator in $allocators; do
    if ldconfig -p | grep -qF "$allocator"; then
        ways="$ways before-$allocator after-$allocator"
    else
        echo "$allocator is missing: make deps installs it" >"$work/log"
        fail "$allocator"
    fi
done

# The last one loads the library itself.
for program in calls numbers processes threads early fortified load; do
    run alone timeout 60 "$work/$program" "$library" >"$work/expected" 2>"$work/expected.err"
    echo "status $?" >>"$work/expected"
    if [ "$(wc -l <"$work/expected")" -le 1 ] || ! grep -q '^status 0$' "$work/expected"; then
        cp "$work/expected" "$work/log"
        fail "$program alone"
    fi
    for how in $ways; do
        run "$how" timeout 60 "$work/$program" "$library" >"$work/actual" 2>"$work/actual.err"
        echo "status $?" >>"$work/actual"
        if diff -u "$work/expected" "$work/actual" >"$work/log" &&
            diff -u "$work/expected.err" "$work/actual.err" >>"$work/log"; then
            passed=$((passed + 1))
        else
            fail "$program $how"
        fi
    done
done

# --- Without a service, in a network namespace that has none -------------------

# absent EXPECTED-STATUS EXPECTED-STDERR [VARIABLE=VALUE...]: runs, and compares.
absent() {
    status=$1
    line=$2
    shift 2
    title="without a service: $*"
    echo "${line:+libtas_interpose: $line}" | sed '/^$/d' >"$work/expected.err"
    unshare -n timeout 60 env LD_PRELOAD="$library" "$@" "$work/absent" >"$work/actual" 2>"$work/actual.err"
    actual=$?
    if [ "$actual" = "$status" ] && diff -u "$work/expected.err" "$work/actual.err" >"$work/log" &&
        { [ "$status" != 0 ] || diff -u "$work/expected" "$work/actual" >>"$work/log"; }; then
        passed=$((passed + 1))
    else
        echo "status $actual, not $status" >>"$work/log"
        fail "$title"
    fi
}

unshare -n "$work/absent" >"$work/expected" 2>"$work/log" || fail 'absent alone'
none='no TAS service to connect to: Connection refused (os error 111)'
kernel="; using the kernel's sockets"
ends='; ending, as TAS_INTERPOSE_REQUIRED is set'
rule=": '10.0.0.0/33': the prefix is longer than 32 bits"
absent 0 "$none$kernel" A=
absent 1 "$none$ends" TAS_INTERPOSE_REQUIRED=1
absent 0 '' TAS_INTERPOSE_DISABLE=1
absent 0 '' TAS_INTERPOSE_DISABLE=1 TAS_INTERPOSE_REQUIRED=1 TAS_INTERPOSE_LISTEN=10.0.0.0/33
absent 0 '' TAS_INTERPOSE_LISTEN='-*' TAS_INTERPOSE_CONNECT='-*' TAS_INTERPOSE_REQUIRED=1
absent 0 "TAS_INTERPOSE_LISTEN$rule$kernel" TAS_INTERPOSE_LISTEN=10.0.0.0/33
absent 1 "TAS_INTERPOSE_CONNECT$rule$ends" TAS_INTERPOSE_CONNECT=10.0.0.0/33 TAS_INTERPOSE_REQUIRED=1

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
