#!/bin/bash
# The firewall lab: a server whose port has a security group, a client, and a host that says it is somebody else. It checks every
# claim that it makes and takes itself down. Root, Debian 12, Swift 6.
#
#      client                 server                  rogue
#    10.0.0.1/24            10.0.0.2/24             10.0.0.3/24
#        |                 secgroup=web        port_security=MAC 10.0.0.3
#   +----+---------------------+-----------------------+----+
#   +------------------- bridge br0, VLAN 10 ---------------+
#
#   VSWITCH_BINDIR=DIR firewall-lab.sh     uses the programs there instead of building them
run=/run/vswitch-firewall-lab
prefix=vswfw
. "$(dirname "$0")/lab.sh"

say "A switch, a server, a client"
start_switch
vsctl add-br br0
host client 10 10.0.0.1/24
host server 10 10.0.0.2/24
host rogue 10 10.0.0.3/24
mac_of() { inside "$1" cat "/sys/class/net/$1/address" ; }
serve() { # serve PORT: a web server at the host "server"
  inside server python3 -m http.server "$1" --directory "$run/web" > /dev/null 2>&1 &
  pids+=("$!")
}
fetch() { inside client curl -s -o /dev/null --max-time 2 "http://10.0.0.2:$1/" ; }
mkdir "$run/web"
serve 80
serve 8080
for _ in $(seq 50); do fetch 80 && fetch 8080 && break; sleep 0.1; done
check "the client reaches the web" fetch 80
check "and what else the server has" fetch 8080
check "and pings it" pings client 10.0.0.2

say "A firewall in three lines"
do_it add-secgroup web
do_it add-secgroup-rule web in http
do_it set port server secgroup=web
check "the client reaches the web" fetch 80
check_not "nothing else" fetch 8080
check_not "no ping" pings client 10.0.0.2
check "the server reaches whom it likes" pings server 10.0.0.1
note "Why?"
trace=$(vsctl trace br0 "in_port=client,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=8080,dl_dst=$(mac_of server)")
printf "%s\n" "$trace" | sed -n "s|^ *||; /^Dropped\|^To let it through/s|^|        |p" | sort -u
check "the trace names the groups" grep -q "security groups" <<< "$trace"
remedy=$(sed -n 's/^ *To let it through: vsctl //p' <<< "$trace" | tail -n 1)
if [ -n "$remedy" ]; then do_it $remedy; fi
check "what it says lets the client through" fetch 8080

say "Nobody is who he is not"
do_it set port rogue "port_security=\"$(mac_of rogue) 10.0.0.3\""
check "the rogue is himself" pings rogue 10.0.0.1
inside rogue ip address add 10.0.0.9/24 dev rogue
pings_as() { inside rogue ping -c 2 -i 0.2 -W 1 -I "$1" 10.0.0.1 > /dev/null ; }
check_not "and not another" pings_as 10.0.0.9

finish
