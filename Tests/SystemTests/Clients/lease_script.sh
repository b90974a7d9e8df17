#!/bin/sh
# What DHCP clients run when something happens to their lease, for both udhcpc (first argument, variables) and dhclient
# (variable `reason`): sets the address and the default route, and notes all options in $LEASE_NOTES.
set -e
reason=${reason:-$1}
case "$reason" in
  bound | renew | BOUND | RENEW | REBIND | REBOOT) ;;
  deconfig | PREINIT)
    ip link set dev "$interface" up
    exit 0
    ;;
  *) exit 0 ;;
esac
address=${new_ip_address:-$ip}
mask=${new_subnet_mask:-$subnet}
gateway=${new_routers:-$router}
ip -4 address flush dev "$interface"
ip address add "$address/$mask" dev "$interface"
[ -z "$gateway" ] || ip route replace default via "$gateway"
{
  echo "address=$address mask=$mask gateway=$gateway"
  echo "dns=${new_domain_name_servers:-$dns} domain=${new_domain_name:-$domain}"
  echo "search=${new_domain_search:-$search} mtu=${new_interface_mtu:-$mtu} lease=${new_dhcp_lease_time:-$lease}"
  echo "siaddr=${new_next_server:-$siaddr} file=${new_filename:-$boot_file}"
} > "$LEASE_NOTES"
