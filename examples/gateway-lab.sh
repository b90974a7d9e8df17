#!/bin/bash
# The gateway lab, first of the two classic ones: the host itself is the router. It has an interface in each VLAN of the bridge,
# which the guests use as their gateway, forwards between them, and translates what goes outside (source NAT by nftables). The
# "host" here is a namespace, so that nothing of this machine is changed. It checks every claim that it makes and takes itself down.
# Root, Debian 12, Swift 6.
#
#      h1 10.0.10.2     h2 10.0.20.2
#        |  VLAN 10       |  VLAN 20
#   +----+--- bridge br0 -+----+       (vswitchd runs on the host)
#   +------+-----------+-------+
#        gw10        gw20              internal ports: interfaces of the host
#    10.0.10.1/24  10.0.20.1/24
#       +---- the host ----+ wan 192.0.2.1/24 ------- outside 192.0.2.9/24
#
#   VSWITCH_BINDIR=DIR gateway-lab.sh     uses the programs there instead of building them
run=/run/vswitch-gateway-lab
prefix=vswgw
. "$(dirname "$0")/lab.sh"

say "The host, with a line to the outside, where nobody knows of its VLANs"
namespace gateway
namespace outside
ip link add "$prefix-wan" netns "$prefix-gateway" type veth peer name eth0 netns "$prefix-outside"
ip -n "$prefix-gateway" address add 192.0.2.1/24 dev "$prefix-wan"
ip -n "$prefix-gateway" link set "$prefix-wan" up
ip -n "$prefix-outside" address add 192.0.2.9/24 dev eth0
ip -n "$prefix-outside" link set eth0 up

say "A switch on it, with an interface of the host in each VLAN"
start_switch ip netns exec "$prefix-gateway"
do_it add-br br0
for vlan in 10 20; do
  do_it add-port br0 "gw$vlan" "tag=$vlan" -- set interface "gw$vlan" type=internal
  inside gateway ip address add "10.0.$vlan.1/24" dev "gw$vlan"
  inside gateway ip link set "gw$vlan" up
done
host h1 10 10.0.10.2/24 10.0.10.1
host h2 20 10.0.20.2/24 10.0.20.1
check "h1 reaches its gateway" pings h1 10.0.10.1
check_not "the host does not forward yet" pings h1 10.0.20.2

say "The host forwards"
inside gateway sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
check "h1 reaches h2" pings h1 10.0.20.2
check "h2 reaches h1" pings h2 10.0.10.2
check_not "outside has no way back to h1" pings h1 192.0.2.9

say "Source NAT for what leaves by the line to the outside"
inside gateway nft -f - <<NFT
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr 10.0.0.0/16 oifname "$prefix-wan" masquerade
  }
}
NFT
check "h1 reaches outside" pings h1 192.0.2.9
check "h2 reaches outside" pings h2 192.0.2.9
inside outside timeout 5 tcpdump -n -l -c 1 -i eth0 icmp > "$run/seen" 2> /dev/null & watch=$!
sleep 0.7
pings h1 192.0.2.9 > /dev/null || true
wait "$watch" || true
check "outside sees the host's address" grep -q "192.0.2.1 > 192.0.2.9" "$run/seen"

finish
