#!/bin/sh
# tools/dist.sh PROGRAM FOLDER: makes FOLDER/hkrun-VERSION-linux-MACHINE, whose bin/hkrun needs nothing of the system that it
# is put on but a kernel and /proc: the libraries come along, the C library and its loader included. Programs that hkrun
# starts (psql, ssh, node, postgres) are those of the system.
set -eu
program=$1 out=$2
version=$(sed -n 's/^return "\(.*\)"$/\1/p' lua/stdlib/version.lua)
name=hkrun-$version-linux-$(uname -m)
root=$out/$name
rm -rf "$root"
mkdir -p "$root/bin" "$root/lib" "$root/libexec" "$root/share/hkrun" "$root/share/doc/licenses"

make -s install DESTDIR="$root" PREFIX=/prefix >/dev/null
mv "$root/prefix/bin/hkrun" "$root/libexec/hkrun"
mv "$root/prefix/share/hkrun/recipes" "$root/prefix/share/hkrun/examples" "$root/share/hkrun/"
mv "$root/prefix/share/man" "$root/share/man"
rm -rf "$root/prefix"
strip "$root/libexec/hkrun"
cc -std=c11 -O2 -Wall -Wextra -Werror -static -o "$root/bin/hkrun" tools/launch.c
strip "$root/bin/hkrun"

tools/libraries.sh "$program" all | while read -r file package; do
  cp -L "$file" "$root/lib/"
  cp -L "/usr/share/doc/$package/copyright" "$root/share/doc/licenses/$package"
done
loader=$(basename "$(ldd "$program" | awk '$1 ~ /^\/.*ld-linux/ { print $1 }')")
mv "$root/lib/$loader" "$root/lib/ld.so"
ln -s ld.so "$root/lib/$loader"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/share/hkrun/ca-certificates.crt"
cp LICENSE NOTICE README.md "$root/share/doc/"
echo "$root"
