#!/bin/sh
# with-rust.sh COMMAND...: runs a command that needs cargo and rustc, wherever
# rustup put them.
#
# sudo gives root a PATH and a home directory without the caller's rustup.
# Under sudo, therefore, the command runs as the caller if the tree is theirs,
# which also leaves nothing in it that only root can write.

caller=${SUDO_USER:-root}
if [ "$(id -u)" = 0 ] && [ "$caller" != root ] && [ "$(stat -c %U .)" = "$caller" ]; then
    home=$(getent passwd "$caller" | cut -d: -f6)
    exec setpriv --reuid="$caller" --regid="$(id -g "$caller")" --init-groups \
        env HOME="$home" USER="$caller" PATH="$home/.cargo/bin:$PATH" "$0" "$@"
fi

PATH=$PATH:${HOME:-/root}/.cargo/bin
export PATH
if ! command -v cargo >/dev/null 2>&1; then
    echo 'cargo is missing: this needs Rust 1.91 or newer, which Debian 12 does not have;' \
        'install it with rustup (https://rustup.rs)' >&2
    exit 1
fi
exec "$@"
