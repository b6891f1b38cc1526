#!/bin/sh
# Installs the Debian packages named, as far as they are missing, and says how
# to get Rust if that is missing.
set -e

missing=
if command -v dpkg-query >/dev/null 2>&1; then
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || missing="$missing $package"
    done
else
    echo "deps: this is not Debian; what is needed has these names there: $*" >&2
fi

if [ -n "$missing" ]; then
    echo "deps: installing$missing"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update
    # shellcheck disable=SC2086 # a list of names
    $as_root apt-get install -y --no-install-recommends $missing
fi

"$(dirname "$0")/with-rust.sh" cargo --version >/dev/null
