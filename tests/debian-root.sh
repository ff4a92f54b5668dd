# SPDX-License-Identifier: MIT
# Sourced by scripts that test in a root directory of another release of Debian: what they have in common. Such a root is made
# by debootstrap(8), and stays for the next time: build/systemd-RELEASE. As root.
# shellcheck shell=bash

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

set_root() {
    root=$(realpath -m "${CGUNICORN_BUILD_DIR:-$source_dir/build}/systemd-$1")
    if ! [ -d "$root" ]; then
        command -v debootstrap >/dev/null || { echo "needs debootstrap: apt-get install debootstrap" >&2; exit 1; }
        rm -rf "$root.new"
        debootstrap --variant=minbase "$1" "$root.new" http://deb.debian.org/debian >&2
        mv "$root.new" "$root"
    fi
    in_root apt-get -qq update
}

in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"; }

# To /usr/src/cgunicorn.
copy_source() {
    rm -rf "$root/usr/src/cgunicorn"
    mkdir "$root/usr/src/cgunicorn"
    tar -C "$source_dir" -c --exclude=./.git --exclude=./build --exclude=./configure --exclude=./autom4te.cache . |
        tar -C "$root/usr/src/cgunicorn" -x
}
