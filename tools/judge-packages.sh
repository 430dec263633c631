#!/bin/sh
# tools/judge-packages.sh TARBALL DEB: tries both on systems that are made for it, as root: the tarball on Debian 11, whose C
# library is older than ours, and with the whole rehearsal on a minimal Debian 12 that has only the programs of a rehearsal;
# the package by apt on another. Needs debootstrap and Debian's archive; five minutes, 2 GB.
set -eu
mirror=${MIRROR:-http://deb.debian.org/debian}
if [ "$1" != --apart ]; then                     # what is mounted below goes with the namespace, before the folder does
  work=$(mktemp -d)
  trap 'rm -rf --one-file-system "$work"' EXIT
  trap 'exit 130' INT TERM
  unshare --mount --propagation private "$0" --apart "$work" "$@"
  exit
fi
work=$2 tarball=$3 deb=$4

# system NAME RELEASE: a minimal Debian in $work/NAME
system () {
  debootstrap --variant=minbase "$2" "$work/$1" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
  mount --bind "$work/$1" "$work/$1"              # a root of its own: the rehearsal makes mount namespaces
  for folder in proc sys dev; do mount --rbind /$folder "$work/$1/$folder"; done
  cp /etc/apt/apt.conf.d/*proxy* "$work/$1/etc/apt/apt.conf.d/" 2>/dev/null || true
}
inside () { name=$1; shift; chroot "$work/$name" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }

for release in bullseye bookworm; do
  echo "== the tarball on $release"
  system $release $release
  tar -xzf "$tarball" -C "$work/$release/opt"
  root=/opt/$(basename "$tarball" .tar.gz)
  inside $release "$root/bin/hkrun" --version
  inside $release "$root/bin/hkrun" -e 'for _, name in ipairs { "pg", "redis", "ssh", "http" } do require("host." .. name) end return 6 * 7'
done
inside bookworm sh -c 'printf "#!/bin/sh\nexit 101\n" > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && apt-get update -qq &&
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql redis-server openssh-server openssh-client \
    nodejs npm iproute2 nftables util-linux ca-certificates' >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
cp -L /etc/ssl/certs/ca-certificates.crt "$work/bookworm/etc/ssl/certs/"      # whom this machine trusts
inside bookworm npm config set -g cafile /etc/ssl/certs/ca-certificates.crt
inside bookworm "$root/bin/hkrun" rehearse "$root/share/hkrun/recipes/heroku_to_aws.lua"

echo "== the package"
system package bookworm
cp "$deb" "$work/package/opt/"
inside package apt-get update -qq
inside package apt-get install -y -qq --no-install-recommends ca-certificates >"$work/log" 2>&1      # apt keeps what it recommends itself
before=$(inside package find / -xdev -path /proc -prune -o -path /var -prune -o -print | sort)
inside package sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends /opt/*.deb' >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
inside package hkrun --version
inside package hkrun -e 'return 6 * 7'
inside package apt-get purge -y -qq --autoremove hkrun >"$work/log" 2>&1
after=$(inside package find / -xdev -path /proc -prune -o -path /var -prune -o -print | sort)
[ "$before" = "$after" ] || { echo "$before" >"$work/before"; echo "$after" | diff "$work/before" - || true; echo "the package left something behind"; exit 1; }
echo "both packages run, and the second leaves nothing"
