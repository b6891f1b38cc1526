#!/bin/sh
# names.sh MAP redirect|export: how libtas_interpose.so gets the C library's
# names, those below "Interposed" in the version script.
#
# redirect: renamings for `objcopy --redefine-syms`, by which the objects that
# Rust made call `tas_real_NAME` wherever they call NAME. Rust's standard library
# and other crates call `read`, `close` and the like; linked as they are, these
# calls would come back to this library's own functions. Renamed, they cannot,
# whatever the crates call tomorrow, and whichever symbol a linker would choose.
#
# export: arguments for the linker, by which `tas_interpose_NAME` is also
# called NAME. Inside, nothing has that name, so calls between these functions
# are never the program's to replace.
set -e
names=$(sed -n '/\/\* Interposed \*\//,/^local:/ s/^ *\([a-z_0-9]*\);$/\1/p' "$1")
for name in $names; do
    case $2 in
        redirect) echo "$name tas_real_$name" ;;
        export) echo "--defsym=$name=tas_interpose_$name" ;;
        *) exit 2 ;;
    esac
done
