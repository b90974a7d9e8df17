#!/bin/bash
# The guest router lab, second of the two classic ones: the router is a virtual machine on a trunk, with an 802.1Q interface in each
# VLAN. It checks every claim that it makes and takes itself down. Root, Debian 12, Swift 6, qemu-system-x86 and busybox-static.
#
#      h1 10.0.10.2     h2 10.0.20.2
#        |  VLAN 10       |  VLAN 20
#   +----+--- bridge br0 -+----+
#   +------------+-------------+
#                | trunk 10,20 (vhost-user)
#        router (QEMU): eth0.10 10.0.10.254/24, eth0.20 10.0.20.254/24
#
#   VSWITCH_BINDIR=DIR guest-router-lab.sh     uses the programs there instead of building them
run=/run/vswitch-guest-router-lab
prefix=vswgr
. "$(dirname "$0")/lab.sh"
image=$(Tests/Support/GuestImage/build.sh)

say "A switch with two VLANs, a host in each, and a trunk for a guest"
start_switch
do_it add-br br0
host h1 10 10.0.10.2/24 10.0.10.254
host h2 20 10.0.20.2/24 10.0.20.254
do_it add-port br0 router trunks=10,20 -- set interface router type=vhostuserclient "options:vhost-server-path=$run/router.sock"
check_not "nothing joins the VLANs" pings h1 10.0.20.2

say "The guest"
qemu-system-x86_64 -nodefaults -no-user-config -display none -machine pc,memory-backend=ram -accel tcg -cpu qemu64 -m 128 \
  -object memory-backend-memfd,id=ram,size=128M,share=on -kernel "$image/vmlinuz" -initrd "$image/initramfs" \
  -append "console=ttyS0 quiet nokaslr net.ifnames=0 8250.nr_uarts=2 rdinit=/init fwd=1 net=eth0.10:10.0.10.254/24,eth0.20:10.0.20.254/24" \
  -serial "file:$run/console" -serial null \
  -chardev "socket,id=c0,path=$run/router.sock,server=on,wait=off" -netdev vhost-user,id=n0,chardev=c0 \
  -device virtio-net-pci,netdev=n0,vectors=0,romfile= &
pids+=("$!")
for _ in $(seq 90); do inside h1 ping -n -q -c 1 -W 1 10.0.20.2 > /dev/null 2>&1 && break; done
check "h1 reaches its gateway, the guest" pings h1 10.0.10.254
check "h1 reaches h2 through it" pings h1 10.0.20.2
check "h2 reaches h1 through it" pings h2 10.0.10.2
check "and one hop is counted" shows "ttl=63" inside h1 ping -n -c 3 -i 0.2 -W 2 10.0.20.2

finish
