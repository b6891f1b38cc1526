#!/bin/sh
# Installs into an empty root: what the package promises is there, a program
# builds against it through pkg-config, and uninstall removes every file.
set -e
cd "$(dirname "$0")/../.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

fail() {
    echo "install: $1" >&2
    exit 1
}

make -s install DESTDIR="$root" PREFIX=/opt/tas
for file in sbin/tas sbin/tas-statetool sbin/tas-tracetool sbin/tas-scaletool sbin/tas-top \
    lib/libtas.so lib/libtas_sockets.so lib/pkgconfig/tas.pc lib/pkgconfig/tas-sockets.pc include/tas_sockets.h include/tas_ll.h include/utils.h share/man/man8/tas.8 \
    bin/tas-run share/man/man1/tas-run.1 lib/libtas_interpose.so share/man/man8/tas-tracetool.8 share/man/man8/tas-scaletool.8 share/man/man8/tas-top.8 \
    share/bash-completion/completions/tas share/zsh/site-functions/_tas-statetool; do
    [ -s "$root/opt/tas/$file" ] || fail "$file is missing"
done
"$root/opt/tas/sbin/tas" --version >/dev/null || fail 'the installed service does not run'

# From where it is installed it finds the library, whether or not it finds a service.
said=$("$root/opt/tas/bin/tas-run" --fallback echo run 2>/dev/null) || fail 'tas-run fails'
[ "$said" = run ] || fail "tas-run echo run: $said"

cat >"$root/program.c" <<'END'
#include <tas_ll.h>
int main(void) { return flextcp_init == 0; }
END
export PKG_CONFIG_PATH="$root/opt/tas/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
# shellcheck disable=SC2046 # a list of flags
cc -o "$root/program" "$root/program.c" $(pkg-config --cflags --libs tas)
LD_LIBRARY_PATH=$root/opt/tas/lib "$root/program" || fail 'a program linked by pkg-config fails'

cat >"$root/sockets.c" <<'END'
#include <tas_sockets.h>
int main(void) { return tas_close(-1) != -1; }
END
# shellcheck disable=SC2046 # a list of flags
cc -o "$root/sockets" "$root/sockets.c" $(pkg-config --cflags --libs tas-sockets)
LD_LIBRARY_PATH=$root/opt/tas/lib "$root/sockets" || fail 'a program of tas-sockets fails'

make -s uninstall DESTDIR="$root" PREFIX=/opt/tas
left=$(find "$root/opt" ! -type d)
[ -z "$left" ] || fail "uninstall left $left"
echo 'install: ok'
