#!/bin/sh
# check-symbols.sh LIBRARY LIST: the library exports the symbols listed ("T
# name" for functions, "B name" for data), and nothing else but additions under
# the prefixes tas_ and flextcp_, which cannot collide with a program's names.
set -eu

library=$1
list=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Where data lies depends on its initial value; to programs it is all data.
nm -D --defined-only "$library" | awk '{ print ($2 ~ /[BDRV]/ ? "B" : $2), $3 }' |
    sort >"$work/exported"
sort "$list" >"$work/listed"
comm -23 "$work/listed" "$work/exported" >"$work/missing"
comm -13 "$work/listed" "$work/exported" | grep -Ev '^[TB] (tas|flextcp)_' >"$work/surplus" || true

sed "s|^|$library: missing: |" "$work/missing" >&2
sed "s|^|$library: surplus: |" "$work/surplus" >&2
[ ! -s "$work/missing" ] && [ ! -s "$work/surplus" ]
