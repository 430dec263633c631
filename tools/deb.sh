#!/bin/sh
# tools/deb.sh PROGRAM FOLDER: makes FOLDER/hkrun_VERSION_ARCH.deb. It depends on the packages of this system that have the
# libraries which hkrun links or loads; the programs of a rehearsal are recommended.
set -eu
program=$1 out=$2
version=$(sed -n 's/^return "\(.*\)"$/\1/p' lua/stdlib/version.lua)
arch=$(dpkg --print-architecture)
root=$out/deb
rm -rf "$root"
mkdir -p "$root/DEBIAN"
make -s install DESTDIR="$root" PREFIX=/usr >/dev/null
strip "$root/usr/bin/hkrun"
gzip -9n "$root/usr/share/man/man1/hkrun.1"
install -D -m 644 NOTICE "$root/usr/share/doc/hkrun/copyright"

depends=
for package in $(tools/libraries.sh "$program" | cut -d ' ' -f 2 | sort -u); do
  [ "$package" != libc6 ] || package="libc6 (>= $(dpkg-query -f '${Version}' -W libc6 | sed 's/-.*//'))"
  depends="${depends:+$depends, }$package"
done
cat > "$root/DEBIAN/control" <<END
Package: hkrun
Version: $version-1
Architecture: $arch
Maintainer: hkrun maintainers <maintainers@hkrun.invalid>
Section: admin
Priority: optional
Installed-Size: $(du -sk "$root/usr" | cut -f 1)
Depends: $depends, ca-certificates
Recommends: openssh-client, postgresql-client
Suggests: postgresql, postgresql-contrib, redis-server, openssh-server, nodejs, npm, iproute2, nftables
Description: move an app from Heroku to AWS with a recipe that can be rehearsed
 hkrun runs recipes, which are Lua programs in which AWS, Heroku, PostgreSQL,
 Redis and SSH are modules: it plans what they would do, does it, goes on after
 an interruption, and takes it back. It carries a cloud on which a migration is
 rehearsed first, and is a console for all operations of AWS.
END
find "$root" -type d -exec chmod 755 {} +
dpkg-deb --root-owner-group --build "$root" "$out/hkrun_${version}-1_$arch.deb" >/dev/null
rm -rf "$root"
echo "$out/hkrun_${version}-1_$arch.deb"
