#!/bin/bash
# Installs the Debian packages that building, testing and the demo need, those only that are missing. Root.
#   install-packages.sh [build|demo|test]...     default: all of them
set -euo pipefail

build="libpcap-dev libnl-3-dev libnl-route-3-dev liburing-dev libsqlite3-dev pkg-config make"
demo="iproute2 iputils-ping iperf3 tcpdump"
test="$demo curl ethtool mininet net-tools nftables openssl openvswitch-switch procps python3 python3-venv socat strace systemd traceroute util-linux vsftpd"
test+=" qemu-system-x86 busybox-static xz-utils dpdk-dev libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients"
test+=" isc-dhcp-client bind9-dnsutils dnsmasq-base"

wanted=""
for group in "${@:-build demo test}"; do
  for name in $group; do
    case $name in
      build) wanted+=" $build" ;;
      demo) wanted+=" $demo" ;;
      test) wanted+=" $test" ;;
      *) echo "usage: $0 [build|demo|test]..." >&2; exit 2 ;;
    esac
  done
done

missing=""
for package in $wanted; do
  if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
    case " $missing " in *" $package "*) ;; *) missing+=" $package" ;; esac
  fi
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "These packages are missing:$missing" >&2
  echo "Install them as root: apt-get install$missing" >&2
  exit 1
fi

echo "Installing:$missing"
# Open vSwitch is wanted for its tools: its own daemons must not start, nor be stopped where they run already.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' > $policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing > /dev/null
