#!/bin/sh
# Puts the OPC Foundation's NodeSet of OPC 40100-1 (MIT licence) into a folder, from the npm package that carries it.
# Usage: get-nodeset.sh [FOLDER]    default: .deps/opcua at the project's root
set -eu

package=node-opcua-nodesets@2.185.0
name=Opc.Ua.MachineVision.NodeSet2.xml
sum=3e67454155a9618e0981aa8b3ee248f7a9ee216f9f915b53eb26a69533c0cc62
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../../.." && pwd)
folder=${1:-$root/.deps/opcua}

if [ -f "$folder/$name" ]; then
    echo "$folder/$name is there"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "$package" >/dev/null
tar -xzf ./*.tgz
find . -name "$name" -exec cp {} "$work/$name" \;
echo "$sum  $name" | sha256sum -c --quiet
mkdir -p "$folder"
cp "$work/$name" "$folder/$name"
echo "unpacked $name into $folder"
