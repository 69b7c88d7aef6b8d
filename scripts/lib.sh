# shellcheck shell=bash
# What the scripts of this folder share. Sourced, never run.
#
# Results go to stdout, everything meant for a reader to stderr.

set -euo pipefail

SCRIPTS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(dirname -- "$SCRIPTS")
export SCRIPTS REPOSITORY

# Everything the scripts make outside the checkout: Debian roots, image archives, engine data.
CACHE=${PBUILD_ENGINES:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/pbuild/engines}
export CACHE

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $1"
    shift
    local hint
    for hint in "$@"; do say "  help: $hint"; done
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "this needs root (namespaces, mounts, Debian roots)" \
        "run it with sudo, or set DOCKER_HOST and use only the scripts that need no engine of their own"
}

# with_lock NAME COMMAND…: one holder of NAME at a time. The descriptor is closed for the command, so that a process
# which outlives it does not keep the lock.
with_lock() {
    local name=$1 descriptor status=0
    shift
    mkdir -p "$CACHE/locks"
    exec {descriptor}>"$CACHE/locks/$name"
    flock "$descriptor"
    "$@" {descriptor}>&- || status=$?
    exec {descriptor}>&-
    return "$status"
}

# quietly TITLE COMMAND…: shows one line; the command's own output only when it fails.
quietly() {
    local title=$1 log status=0
    shift
    log=$(mktemp)
    local began=$SECONDS
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ]; then
        say "$(printf '%-10s %s (%d s)' 'done' "$title" $((SECONDS - began)))"
    else
        say "$(printf '%-10s %s' 'failed' "$title")"
        tail -n 40 "$log" >&2
    fi
    rm -f "$log"
    return "$status"
}

# need_packages COMMAND=PACKAGE…: installs the Debian package of each command that is missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ "${#missing[@]}" = 0 ] && return
    command -v apt-get >/dev/null || die "missing: ${missing[*]}" "install them with this machine's package manager"
    [ "$(id -u)" = 0 ] || die "missing: ${missing[*]}" "sudo apt-get install ${missing[*]}"
    with_lock apt install_packages "${missing[@]}"
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    quietly "apt-get install $*" apt-get install -y --no-install-recommends "$@" && return
    # The lists may be absent or older than the mirror.
    quietly "apt-get update" apt-get update
    quietly "apt-get install $*" apt-get install -y --no-install-recommends "$@"
}

# The Debian archive that this machine's apt already uses, so that a mirror or a proxy set there is honoured.
debian_mirror() {
    if [ -n "${PBUILD_DEBIAN_MIRROR:-}" ]; then
        printf '%s\n' "${PBUILD_DEBIAN_MIRROR%/}"
        return
    fi
    local uri
    uri=$(archive_of_apt)
    if [ -z "$uri" ]; then
        # Without downloaded lists apt does not say.
        with_lock apt quietly "apt-get update" apt-get update
        uri=$(archive_of_apt)
    fi
    [ -n "$uri" ] || die "apt on this machine names no Debian archive" "set PBUILD_DEBIAN_MIRROR to the URL of one"
    printf '%s\n' "${uri%/}"
}

archive_of_apt() {
    # shellcheck disable=SC2016  # the format language is apt's own
    apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
        awk '$2 == "main" && $1 !~ /security/ { print $1; exit }'
}

# A proxy that only apt knows is needed by debootstrap and in a chroot too.
use_proxy_of_apt() {
    [ -z "${http_proxy:-}" ] || return 0
    eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
    if [ -n "${http_proxy:-}" ]; then export http_proxy; fi
}

# debian_root DIRECTORY SUITE PACKAGE,…: a minimal Debian system in DIRECTORY, made once.
debian_root() { with_lock "root-$(basename "$1")" make_debian_root "$@"; }

make_debian_root() {
    local directory=$1 suite=$2 packages=$3 part mirror script=()
    [ -e "$directory/etc/debian_version" ] && return
    need_packages debootstrap=debootstrap
    mirror=$(debian_mirror)
    use_proxy_of_apt
    [ -e "/usr/share/debootstrap/scripts/$suite" ] || script=(sid)
    part=$directory.part
    rm -rf --one-file-system "$part"
    mkdir -p "$part" "$CACHE/packages"
    quietly "Debian $suite root with ${packages:-nothing more}" \
        debootstrap --variant=minbase --cache-dir="$CACHE/packages" ${packages:+--include="$packages"} \
        "$suite" "$part" "$mirror" "${script[@]}" ||
        die "debootstrap of $suite failed" "is the archive reachable?"
    rm -rf "$part"/var/cache/apt/archives/*.deb "$part"/var/lib/apt/lists/*
    mv "$part" "$directory"
}

# engine_answers: whether DOCKER_HOST (default: docker's own socket) answers.
engine_answers() {
    local host=${DOCKER_HOST:-unix:///var/run/docker.sock}
    [[ $host == unix://* ]] || return 1
    curl --silent --fail --max-time 5 --unix-socket "${host#unix://}" http://engine/_ping >/dev/null 2>&1
}

# docker_client ARGUMENT…: a docker client for the engine of DOCKER_HOST: ours if it is there, else the machine's own.
docker_client() {
    if [ -e "$CACHE/root-modern/etc/debian_version" ] || ! command -v docker >/dev/null; then
        "$SCRIPTS/engine" docker "$@"
    else
        docker "$@"
    fi
}

# Compiles and links for other targets than this machine's. In a folder of its own; `make_zigbuild` goes behind a lock.
ZIGBUILD=$CACHE/zigbuild ZIGBUILD_VERSIONS=(cargo-zigbuild==0.24.1 ziglang==0.16.0)
make_zigbuild() {
    [ -e "$ZIGBUILD/made-${ZIGBUILD_VERSIONS[*]}" ] && return
    python3 -c 'import ensurepip' 2>/dev/null || with_lock apt install_packages python3-venv
    quietly "${ZIGBUILD_VERSIONS[*]} from PyPI" sh -c \
        "python3 -m venv --clear '$ZIGBUILD' && '$ZIGBUILD/bin/pip' install --quiet ${ZIGBUILD_VERSIONS[*]}" || die "no Zig"
    touch "$ZIGBUILD/made-${ZIGBUILD_VERSIONS[*]}"
}
