#!/bin/sh
# Puts ONNX Runtime's C headers (Debian package libonnxruntime-dev) into a folder, without installing anything.
# Debian 12 does not carry the package: it is then taken from Debian 13, from the mirror apt already uses.
# Usage: get-headers.sh [FOLDER]    default: .deps/onnxruntime at the project's root
set -eu

package=libonnxruntime-dev
suite=trixie
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
folder=${1:-$root/.deps/onnxruntime}
header=usr/include/onnxruntime/onnxruntime_c_api.h

if [ -f "$folder/$header" ]; then
    echo "$folder/$header is there"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The first archive in apt's own lists whose suite is this release: "URI keyring".
mirror() {
    # shellcheck source=/dev/null
    . /etc/os-release
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        awk -v suite="$VERSION_CODENAME" '
            /^URIs:/ { uri = $2 }
            /^Suites:/ { good = 0; for (i = 2; i <= NF; i++) if ($i == suite) good = 1 }
            /^Signed-By:/ { key = $2 }
            /^[[:space:]]*$/ { if (good && uri) { print uri, key; exit } uri = ""; key = ""; good = 0 }
            END { if (good && uri) print uri, key }' "$file"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -n "s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\)  *$VERSION_CODENAME .*/\2/p" "$file"
    done
}

cd "$work"
chmod 755 "$work"
if ! apt-get download "$package" >log 2>&1; then
    found=$(mirror | head -n 1)
    uri=${found%% *}
    key=${found#"$uri"}
    key=${key# }
    : "${key:=/usr/share/keyrings/debian-archive-keyring.gpg}"
    if [ -z "$uri" ]; then
        echo "no Debian archive in /etc/apt; unpack $package of Debian 13 into $folder by hand" >&2
        exit 1
    fi
    mkdir -p lists/partial cache/archives/partial
    echo "deb [signed-by=$key] $uri $suite main" >sources.list
    options="-o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache"
    # shellcheck disable=SC2086
    if ! { apt-get $options update && apt-get $options download "$package"; } >log 2>&1; then
        cat log >&2
        exit 1
    fi
fi
mkdir -p "$folder"
dpkg -x "$package"_*.deb "$folder"
test -f "$folder/$header"
echo "unpacked $(ls "$package"_*.deb) into $folder"
