#!/bin/sh
# Installs pbuild and prun, or removes them again. Needs sh, tar, gzip, sha256sum or shasum, and curl or wget.
# `--help` says how.
set -eu

VERSION='@VERSION@'
BASE_URL='@BASE_URL@'
PUBLIC_KEY='@PUBLIC_KEY@'

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $1"
    shift
    for help; do say "  help: $help"; done
    exit 1
}

usage() {
    cat >&2 <<'TEXT'
usage: install.sh [--prefix FOLDER] [--base-url URL] [--version VERSION] [--public-key KEY] [--without-signature]
       install.sh --uninstall [--prefix FOLDER]

--prefix FOLDER       where to: FOLDER/bin, FOLDER/share [default: /usr/local for root, else ~/.local]
--base-url URL        where the files of the release are: https, http or file
--version VERSION     the version that is there
--public-key KEY      minisign's public key of the release: base64, or a file
--without-signature   go on without a proof of who made the release: the release has no signature, you have no key for it,
                      or minisign is not installed. The sums are checked all the same; they show damage, not forgery,
                      for whoever can change the files can change the sums.
--uninstall           remove what this script installed there, and nothing else

Nothing is installed unless the signature fits the key and the archive fits its sum.
TEXT
    exit 2
}

has() { command -v "$1" >/dev/null 2>&1; }

# fetch NAME FILE: one file of the release. A redirection never leads from https to http.
fetch() {
    case $BASE_URL in
        file://*) cp "${BASE_URL#file://}/$1" "$2" 2>/dev/null ;;
        https://*)
            if has curl; then
                curl --proto '=https' --fail --silent --show-error --location --output "$2" "$BASE_URL/$1"
            elif has wget; then
                wget --https-only --quiet --output-document "$2" "$BASE_URL/$1"
            else
                fail "neither curl nor wget is installed"
            fi
            ;;
        http://*)
            if has curl; then
                curl --fail --silent --show-error --location --output "$2" "$BASE_URL/$1"
            elif has wget; then
                wget --quiet --output-document "$2" "$BASE_URL/$1"
            else
                fail "neither curl nor wget is installed"
            fi
            ;;
        *) fail "--base-url \`$BASE_URL\` is no address" "it begins with https://, http:// or file://" ;;
    esac
}

sum_of() {
    if has sha256sum; then
        sha256sum "$1" | cut -d' ' -f1
    elif has shasum; then
        shasum -a 256 "$1" | cut -d' ' -f1
    else
        fail "neither sha256sum nor shasum is installed"
    fi
}

platform() {
    system=$(uname -s)
    [ "$system" = Linux ] || fail "there is no release for $system, only for Linux" \
        "build from the sources with cargo: docs/install.md says how"
    case $(uname -m) in
        x86_64 | amd64) echo linux-amd64 ;;
        aarch64 | arm64) echo linux-arm64 ;;
        *) fail "there is no release for $(uname -m), only for x86_64 and aarch64" ;;
    esac
}

# The signature of the sums, before anything is believed of them.
check_signature() {
    if [ -n "$WITHOUT_SIGNATURE" ]; then
        say "signature not checked: --without-signature"
        return
    fi
    [ -n "$PUBLIC_KEY" ] || fail "the signature cannot be checked: this script brings no public key" \
        "--public-key KEY, with the key from where you trust it" \
        "--without-signature, to rely on the sums and on the address alone"
    has minisign || fail "the signature cannot be checked: minisign is not installed" \
        "install minisign (apt-get install minisign, brew install minisign) and run this again" \
        "--without-signature, to rely on the sums and on the address alone"
    fetch SHA256SUMS.minisig "$WORK/SHA256SUMS.minisig" ||
        fail "the release at $BASE_URL has no signature" "--without-signature, to rely on the sums and on the address alone"
    if [ -f "$PUBLIC_KEY" ]; then set -- -p "$PUBLIC_KEY"; else set -- -P "$PUBLIC_KEY"; fi
    minisign -V -q "$@" -m "$WORK/SHA256SUMS" -x "$WORK/SHA256SUMS.minisig" >/dev/null 2>&1 ||
        fail "the signature of SHA256SUMS does not fit the public key; nothing was installed" \
            "the files were changed after they were signed, or the key is another release's: do not use them"
    say "signature good"
}

check_sum() {
    expected=$(awk -v name="$1" '$2 == name { print $1 }' "$WORK/SHA256SUMS")
    [ -n "$expected" ] || fail "SHA256SUMS does not name $1" "is --version \`$VERSION\` the one at $BASE_URL?"
    actual=$(sum_of "$WORK/$1")
    [ "$actual" = "$expected" ] ||
        fail "$1 does not fit its sum; nothing was installed" "it was damaged on its way, or changed: try again, or ask who published it"
    say "sum       good"
}

# Takes away what an installation of this script put there, file by file, and folders that are then empty.
remove_listed() {
    while IFS= read -r file; do
        case $file in
            bin/* | share/*) ;;
            *) continue ;;
        esac
        case $file in *..*) continue ;; esac
        rm -f "$PREFIX/$file"
        folder=$(dirname "$file")
        while [ "$folder" != . ] && rmdir "$PREFIX/$folder" 2>/dev/null; do folder=$(dirname "$folder"); done
    done <"$1"
}

uninstall() {
    [ -f "$LIST" ] || fail "nothing below $PREFIX was installed by this script" "--prefix FOLDER, if it was installed elsewhere"
    if [ "$(readlink "${DOCKER_CONFIG:-${HOME:?}/.docker}/cli-plugins/docker-pbuild")" = "$PREFIX/bin/pbuild" ]; then
        fail "docker's own commands still build with $PREFIX/bin/pbuild" "run \`pbuild uninstall\` first"
    fi
    cp "$LIST" "$WORK/list"
    printf '%s\n' "$LISTED" >>"$WORK/list"
    remove_listed "$WORK/list"
    say "removed   pbuild and prun from $PREFIX"
}

# Copies one file beside its place and moves it there: a program that runs keeps its own.
place() {
    mkdir -p "$PREFIX/$(dirname "$1")"
    cp "$2/$1" "$PREFIX/$1.new"
    if [ -x "$2/$1" ]; then chmod 755 "$PREFIX/$1.new"; else chmod 644 "$PREFIX/$1.new"; fi
    mv -f "$PREFIX/$1.new" "$PREFIX/$1"
}

install_release() {
    case $VERSION in
        *@*) fail "this is no release's install.sh: it knows no version" "--version and --base-url name a release" ;;
    esac
    name=pbuild-$VERSION-$(platform)
    fetch SHA256SUMS "$WORK/SHA256SUMS" || fail "there is no SHA256SUMS at $BASE_URL" "--base-url, for another address"
    check_signature
    fetch "$name.tar.gz" "$WORK/$name.tar.gz" || fail "there is no $name.tar.gz at $BASE_URL" "--version, for another version"
    check_sum "$name.tar.gz"
    mkdir "$WORK/files"
    gzip -dc "$WORK/$name.tar.gz" | (cd "$WORK/files" && tar -xf -)
    (cd "$WORK/files/$name" && find bin share -type f | LC_ALL=C sort) >"$WORK/list"
    { mkdir -p "$PREFIX" && [ -w "$PREFIX" ]; } || fail "$PREFIX cannot be written to" "--prefix FOLDER, or run this as its owner"
    while IFS= read -r file; do place "$file" "$WORK/files/$name"; done <"$WORK/list"
    if [ -f "$LIST" ]; then
        # What an earlier version had and this one has not.
        LC_ALL=C comm -23 "$LIST" "$WORK/list" >"$WORK/stale"
        remove_listed "$WORK/stale"
    fi
    mkdir -p "$PREFIX/$(dirname "$LISTED")"
    cp "$WORK/list" "$LIST"
    say "installed $("$PREFIX/bin/pbuild" --version), $("$PREFIX/bin/prun" --version) in $PREFIX/bin"
    case :$PATH: in
        *:"$PREFIX/bin":*) ;;
        *) say "          $PREFIX/bin is not on your PATH" ;;
    esac
}

PREFIX='' WITHOUT_SIGNATURE='' ACTION=install_release
while [ $# -gt 0 ]; do
    case $1 in
        --prefix | --base-url | --version | --public-key)
            [ $# -gt 1 ] || fail "$1 needs a value"
            case $1 in
                --prefix) PREFIX=$2 ;;
                --base-url) BASE_URL=${2%/} ;;
                --version) VERSION=$2 ;;
                --public-key) PUBLIC_KEY=$2 ;;
            esac
            shift 2
            ;;
        --without-signature) WITHOUT_SIGNATURE=yes && shift ;;
        --uninstall) ACTION=uninstall && shift ;;
        *) usage ;;
    esac
done
case $PUBLIC_KEY in
    *@*) PUBLIC_KEY='' ;;
esac
if [ -z "$PREFIX" ]; then
    if [ "$(id -u)" = 0 ]; then PREFIX=/usr/local; else PREFIX=${HOME:?}/.local; fi
fi
LISTED=share/pbuild/installed-files
LIST=$PREFIX/$LISTED
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$ACTION"
