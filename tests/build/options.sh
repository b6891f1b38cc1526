#!/bin/sh
# The service's exit status and streams for wrong command lines, as processes
# see them; the values themselves are tested where they are parsed.
set -e
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# run STATUS ARG...
run() {
    expected=$1
    shift
    status=0
    tas/tas "$@" >"$work/out" 2>"$work/err" || status=$?
    if [ "$status" != "$expected" ]; then
        echo "tas $*: exit status $status, expected $expected" >&2
        exit 1
    fi
}

answered() {
    run 0 "$@"
    [ -s "$work/out" ] && [ ! -s "$work/err" ] || { echo "tas $*: no answer on stdout" >&2; exit 1; }
}

refused() {
    run 1 "$@"
    if [ -s "$work/out" ] || ! sed -n 1p "$work/err" | grep -q '^tas: ' ||
        ! sed -n 2p "$work/err" | grep -q '^Usage: tas '; then
        echo "tas $*: not one line saying what is wrong and the usage on stderr" >&2
        exit 1
    fi
}

answered --help
answered --version
refused
refused --bogus
refused --ip-addr
refused --ip-addr=10.0.0.256
refused --ip-addr 10.0.0.1 stray
refused --ip-addr=10.0.0.1 --fp-cores-max=17
refused --ip-addr=10.0.0.1 --quiet=yes
refused --ip-addr=10.0.0.1/24 --ip-route=10.1.0.1/16,10.0.0.9
echo 'options: ok'
