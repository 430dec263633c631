#!/bin/sh
# Installs what the build, the rehearsal and the tests need, on Debian 12. `deps.sh demo` leaves out the browser: it takes 400 MB,
# and only the tests of reports need it.
# Only missing packages are touched. Servers that come with them are neither
# started nor enabled: the rehearsal starts its own, on loopback.
set -eu

build='gcc libc6-dev make pkg-config git lua5.4 liblua5.4-dev libcurl4-openssl-dev libssl-dev libpq-dev
  libssh-dev libyaml-dev libuv1-dev libexpat1-dev libjansson-dev libarchive-dev
  zlib1g-dev libedit-dev libmicrohttpd-dev'
rehearsal='postgresql postgresql-contrib redis-server openssh-server openssh-client nodejs npm
  iproute2 nftables util-linux ca-certificates'
tests='python3 python3-pip python3-venv procps openssl curl lua-check gdb-minimal ruby-sidekiq bind9-dnsutils shellcheck zip jq'
browser=chromium
[ "${1:-}" != demo ] || browser=

missing=
for package in $build $rehearsal $tests $browser; do
  case $package in
    nodejs) command -v node >/dev/null 2>&1 && continue ;;
    npm) command -v npm >/dev/null 2>&1 && continue ;;
    chromium) command -v chromium >/dev/null 2>&1 && continue ;;
    gdb-minimal) command -v gcore >/dev/null 2>&1 && continue ;;
  esac
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || state=
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null 2>&1 || {
  echo "hkrun builds on Debian; install these packages of it by other means:$missing" >&2
  exit 1
}
if [ "$(id -u)" -eq 0 ]; then as_root=
elif command -v sudo >/dev/null 2>&1; then as_root=sudo
else
  echo "packages are missing; as root, run: apt-get update && apt-get install --no-install-recommends$missing" >&2
  exit 1
fi

echo "installing:$missing"
new=                                    # services that were not there before
case " $missing " in *' postgresql '*) new="$new postgresql" ;; esac
case " $missing " in *' redis-server '*) new="$new redis-server" ;; esac
case " $missing " in *' openssh-server '*) new="$new ssh" ;; esac
policy=/usr/sbin/policy-rc.d
blocked=
if [ ! -e $policy ]; then               # Debian's own switch: start no service
  printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
  $as_root chmod 755 $policy
  blocked=1
fi
unblock () { [ -z "$blocked" ] || $as_root rm -f $policy; }
trap unblock EXIT INT TERM
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
if command -v systemctl >/dev/null 2>&1; then
  for service in $new; do $as_root systemctl disable "$service" >/dev/null 2>&1 || true; done
fi
