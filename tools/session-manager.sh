#!/bin/sh
# tools/session-manager.sh: builds AWS's session-manager-plugin from its source into build/tools-ssm, unless it is there. Source
# and libraries come from the Go module proxy, pinned by checksum: go.mod and go.sum stand in tools/session-manager. It needs
# Go 1.26 or newer (go.dev/dl); Debian 12 has 1.19.
set -eu
cd "$(dirname "$0")/.."
version=v0.0.0-20260401221635-b79d06c1d3a2 # 1.3.0.0
checksum=b97749448a4e9778a072eab73162707d21ee58edbe15045f76320bac62f7f07f
home=build/tools-ssm
[ "$(cat "$home/checksum" 2>/dev/null)" = "$checksum" ] && exit 0
go=$(command -v go || echo /usr/local/go/bin/go)
[ -x "$go" ] || { echo "there is no Go here: install it from go.dev/dl" >&2; exit 1; }
mkdir -p "$home"
curl -sSf -o "$home/source.zip" "https://proxy.golang.org/github.com/aws/session-manager-plugin/@v/$version.zip"
echo "$checksum  $home/source.zip" | sha256sum --check --status || { echo "the source is not what is pinned here" >&2; exit 1; }
python3 -m zipfile -e "$home/source.zip" "$home/source"
cp tools/session-manager/go.mod tools/session-manager/go.sum "$home/source/github.com/aws/session-manager-plugin@$version/"
out=$PWD/$home
(cd "$home/source/github.com/aws/session-manager-plugin@$version" &&
  GOPROXY=https://proxy.golang.org GOPATH="$out/go" GOFLAGS="-mod=readonly -modcacherw" GOTOOLCHAIN=local "$go" build -o "$out/session-manager-plugin" \
    ./src/sessionmanagerplugin-main)
rm -rf "$home/source" "$home/source.zip" "$home/go"
echo "$checksum" > "$home/checksum"
