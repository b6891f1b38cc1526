#!/bin/sh
# Checks from C and C++ what programs rely on: layouts, constants, prototypes,
# headers that compile in every standard, objects that link by their path, and
# the symbols of the libraries. CC and CXX name the compilers.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
CC=${CC:-cc}
CXX=${CXX:-c++}
include="-I$root/include -I$root/lib/tas/include -I$root/lib/sockets/include"
warnings="-Wall -Werror"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

passed=0
failed=0

# check NAME COMMAND...: one test; what it printed is shown if it failed.
check() {
    title=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $title"
        sed 's/^/    /' "$work/log"
    fi
}

c() { # STANDARD SOURCE ARGUMENT...
    std=$1
    shift
    # shellcheck disable=SC2086
    $CC -std="$std" $warnings $include -I"$here" "$@"
}

cxx() { # STANDARD SOURCE ARGUMENT...
    std=$1
    shift
    # shellcheck disable=SC2086
    $CXX -std="$std" $warnings $include -I"$here" -x c++ "$@"
}

build_and_run() { # COMPILER STANDARD SOURCE ARGUMENT...
    "$@" -o "$work/program" && "$work/program"
}

# --- Headers: each alone, and all together twice -----------------------------

headers="utils utils_circ utils_nbqueue utils_rng utils_sync utils_timeout
    kernel_appif packet_defs tas_memif tas_trace tas_ll tas_ll_connect tas_sockets"
for header in $headers; do
    echo "#include <$header.h>" >"$work/$header.c"
    cat "$work/$header.c" >>"$work/all.c"
done
cat "$work/all.c" >"$work/twice.c"
cat "$work/all.c" >>"$work/twice.c"
for header in $headers twice; do
    for std in c99 gnu99 c11 gnu11; do
        check "$header.h in $std" c "$std" -c "$work/$header.c" -o "$work/object"
    done
    check "$header.h in C++17" cxx c++17 -c "$work/$header.c" -o "$work/object"
done

# --- Layouts, values, prototypes ---------------------------------------------

for source in layouts prototypes; do
    check "$source in C" c gnu11 -c "$here/$source.c" -o "$work/object"
    check "$source in C++" cxx c++17 -c "$here/$source.c" -o "$work/object"
done
check "constants in C" build_and_run c gnu11 "$here/constants.c"
check "constants in C++" build_and_run cxx c++17 "$here/constants.c"

# --- Inline functions, and each object by itself -----------------------------

check "inline functions in C" build_and_run c gnu99 -O2 "$here/inline.c" -pthread
check "inline functions in C++" build_and_run cxx c++17 -O2 "$here/inline.c" -pthread

objects=${UTILS_OBJECTS:-$root/lib/utils}
if [ ! -e "$objects/rng.o" ]; then
    objects=$work
    check "objects build" "$root/lib/utils/build-objects.sh" "$objects"
fi
for name in rng timeout utils; do
    for how in -pie -no-pie -static; do
        pic=-fPIE
        [ $how = -pie ] || pic=-fno-pie
        check "$name.o with $how" build_and_run c gnu99 $pic $how \
            "$here/object_$name.c" "$objects/$name.o"
    done
    check "$name.o in C++" build_and_run cxx c++17 "$here/object_$name.c" \
        -x none "$objects/$name.o"
done

# Nothing in one object is in another's way.
check "all objects together" build_and_run c gnu99 "$here/object_rng.c" \
    "$objects/rng.o" "$objects/timeout.o" "$objects/utils.o"

# --- Exports -----------------------------------------------------------------

for list in "$here"/symbols-*.txt; do
    name=$(basename "$list" .txt)
    library=$root/lib/${name#symbols-}.so
    if [ -e "$library" ]; then
        check "exports of $library" "$here/check-symbols.sh" "$library" "$list"
    else
        echo "skipped: exports of $library, which is not built"
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
