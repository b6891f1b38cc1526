#!/bin/sh
# symbols.sh LIBRARY MAP: the library exports exactly what the version script
# lists: functions as functions, data as data, without a version.
set -e
library=$1
map=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# "D name" for what stands below "Data" in the map, "T name" below "Functions".
awk '
    /\/\* Data \*\//      { kind = "D" }
    /\/\* Functions \*\// { kind = "T" }
    /^local:/             { exit }
    kind && /^ *[a-z_0-9]+;$/ { gsub(/[ ;]/, ""); print kind, $0 }
' "$map" | sort >"$work/expected"
nm -D --defined-only "$library" | awk '{ kind = $2 == "B" ? "D" : $2; print kind, $3 }' |
    sort >"$work/exported"

if ! diff -u "$work/expected" "$work/exported"; then
    echo "$library does not export what $map lists (-: missing, +: surplus)" >&2
    exit 1
fi
if readelf -d "$library" | grep -q SONAME; then
    echo "$library has a SONAME: programs linked by its path would not find it" >&2
    exit 1
fi
echo "symbols: $library exports the $(wc -l <"$work/expected") symbols of $map"
