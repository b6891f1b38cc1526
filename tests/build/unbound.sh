#!/bin/sh
# unbound.sh LIBRARY MAP [OBJECT...]: nothing in the library, or in the objects
# and archives it is made of, refers to one of the names that it interposes.
# Such a reference would bring the library's own calls back to itself.
set -e
library=$1
map=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n '/\/\* Interposed \*\//,/^local:/ s/^ *\([a-z_0-9]*\);$/\1/p' "$map" | sort >"$work/names"
[ -s "$work/names" ] || { echo "$map lists no interposed names" >&2; exit 1; }

# A name that can be preempted is reached by a relocation.
readelf -rW "$library" | awk '$5 { sub(/@.*/, "", $5); print $5 }' | sort -u >"$work/relocated"
for object in "$@"; do
    nm "$object" 2>/dev/null | awk '$1 == "U" || $1 == "w" { print $2 }'
done | sort -u >"$work/undefined"

for found in relocated undefined; do
    comm -12 "$work/names" "$work/$found" >"$work/bound"
    if [ -s "$work/bound" ]; then
        echo "$library refers to names that it interposes ($found): $(tr '\n' ' ' <"$work/bound")" >&2
        exit 1
    fi
done
echo "unbound: $library refers to none of the $(wc -l <"$work/names") names it interposes"
