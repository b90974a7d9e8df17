#!/bin/bash
# The virtual router lab: two VLANs of one bridge and a router that is an object of the switch, with IPv6, a policy, and a trace
# that says why. It checks every claim that it makes and takes itself down. Root, Debian 12, Swift 6.
#
#        h1                                    h2
#   10.0.10.2/24                          10.0.20.2/24
#        |  VLAN 10                   VLAN 20  |
#   +----+------------- bridge br0 ------------+----+
#   +------------+--------------------+-------------+
#            10.0.10.1/24         10.0.20.1/24
#            fd00:10::1/64        fd00:20::1/64
#                +---- router r1 -----+
#
#   VSWITCH_BINDIR=DIR virtual-router-lab.sh     uses the programs there instead of building them
run=/run/vswitch-virtual-router-lab
prefix=vswvr
. "$(dirname "$0")/lab.sh"

say "A switch, two VLANs, a host in each"
start_switch
vsctl add-br br0
host h1 10 10.0.10.2/24 10.0.10.1
host h2 20 10.0.20.2/24 10.0.20.1
check_not "nothing joins them" pings h1 10.0.20.2

say "A router"
do_it add-router r1
do_it add-router-port r1 br0 tag=10 addresses=10.0.10.1/24,fd00:10::1/64
do_it add-router-port r1 br0 tag=20 addresses=10.0.20.1/24,fd00:20::1/64
# The host still waits for what it asked before there was anybody to answer.
inside h1 ip neigh flush dev h1
check "h1 reaches its gateway" pings h1 10.0.10.1
check "h1 reaches h2" pings h1 10.0.20.2
has_address() { shows "$2" inside "$1" ip -6 address show dev "$1" scope global; }
for _ in $(seq 100); do has_address h1 fd00:10: && has_address h2 fd00:20: && break; sleep 0.1; done
check "h1 has made itself an IPv6 address of the prefix that r1 advertises" has_address h1 fd00:10:
address=$(inside h2 ip -6 -o address show dev h2 scope global | awk '{sub("/.*", "", $4); print $4; exit}')
# A moment for the check that nobody else has the address.
for _ in $(seq 30); do pings h1 "${address:-none}" > /dev/null 2>&1 && break; sleep 0.2; done
check "h1 reaches h2 by IPv6" pings h1 "$address"
show router show r1
show router neighbours r1

say "Only VLAN 10 may begin"
do_it add-router-policy r1 reject in=r1-20 out=r1-10
check "h1 still reaches h2" pings h1 10.0.20.2
check_not "h2 does not reach h1" pings h2 10.0.10.2
note "Why?"
trace=$(vsctl trace br0 "in_port=h2,icmp,nw_src=10.0.20.2,nw_dst=10.0.10.2")
printf "%s\n" "$trace" | sed -n "s|^ *||; /^Dropped\|^To let it through/s|^|        |p" | sort -u
check "the trace names a policy" grep -q policy <<< "$trace"
remedy=$(sed -n 's/^ *To let it through: vsctl //p' <<< "$trace" | tail -n 1)
if [ -n "$remedy" ]; then do_it $remedy; fi
check "what it says lets h2 through" pings h2 10.0.10.2

finish
