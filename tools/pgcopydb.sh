#!/bin/sh
# tools/pgcopydb.sh: builds pgcopydb 0.18 into build/pgcopydb and says where it is; Debian 12 has 0.10, which cannot compare.
# The source is Debian's; what it is linked with is fetched as packages and installed nowhere.
set -eu
cd "$(dirname "$0")/.."
dir=$PWD/build/pgcopydb
if [ ! -x "$dir/pgcopydb" ]; then
  rm -rf "$dir"
  mkdir -p "$dir/packages" "$dir/root" "$dir/source"
  curl -fsS -o "$dir/source.tar.gz" http://deb.debian.org/debian/pool/main/p/pgcopydb/pgcopydb_0.18.orig.tar.gz
  echo "7c097ba0ee18d834a5816107c788ea233a2feeee218ab2cdb305c6578caa767e  $dir/source.tar.gz" | sha256sum --check --status || { echo "this is not pgcopydb 0.18" >&2; exit 1; }
  tar xzf "$dir/source.tar.gz" -C "$dir/source" --strip-components=1
  (cd "$dir/packages" && apt-get download -qq libgc-dev postgresql-server-dev-15 2>/dev/null)
  for package in "$dir"/packages/*.deb; do dpkg-deb -x "$package" "$dir/root"; done
  lib=$dir/root/usr/lib
  make -s -C "$dir/source/src/bin/pgcopydb" CFLAGS="-w -I$dir/root/usr/include -I$dir/root/usr/include/postgresql/15/server" \
    LIBS="-L$lib/postgresql/15/lib -L$lib/$(gcc -print-multiarch) -lpq -lncurses -l:libgc.a -lpgcommon -lpgport -lssl -lcrypto -lz -lm" >&2
  cp "$dir/source/src/bin/pgcopydb/pgcopydb" "$dir/pgcopydb"
fi
echo "$dir/pgcopydb"
