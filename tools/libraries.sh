#!/bin/sh
# tools/libraries.sh PROGRAM [all]: the files of the libraries that hkrun links, and of those that it loads when they are
# first needed (the sonames that tools/lazy.sh wrote beside the program), each with its Debian package. all: with what
# these need themselves.
set -eu
needed () { ldd "$1" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }'; }
{
  needed "$1"
  for soname in $(sed -n 's/.*\.Ll_[a-z0-9_]*:[[:space:]]*\.asciz "\(.*\)"/\1/p' "$(dirname "$1")/stubs.S"); do
    file=$(cc -print-file-name="$soname")
    [ -e "$file" ] || file=$(ldconfig -p | awk -v s="$soname" '$1 == s { print $NF; exit }')
    echo "$file"
    [ "${2-}" != all ] || needed "$file"
  done
} | sort -u | while read -r file; do
  real=$(realpath "$file")                       # with /lib linked to /usr/lib, dpkg may know it by the other name
  owner=$(dpkg-query -S "$real" 2>/dev/null || dpkg-query -S "${real#/usr}")
  echo "$file ${owner%%:*}"
done
