#!/bin/bash
# A network of libvirt's on a bridge of the switch, and two machines on it, started and ended; everything that libvirt
# makes is in DIRECTORY. Run it in a network namespace of its own and as root, with `ovs-vsctl` in the search path.
#   libvirt_network.sh DIRECTORY
set -euo pipefail
directory=$1
if [ "${2:-}" != inside ]; then
  exec unshare --mount --propagation private "$0" "$directory" inside
fi

mkdir -p "$directory"/{run,lib,etc,cache,log}
# libvirt's places are compiled in: this process alone sees others there.
for place in run/libvirt:run var/lib/libvirt:lib etc/libvirt:etc var/cache/libvirt:cache var/log/libvirt:log; do
  mkdir -p "/${place%:*}"
  mount --bind "$directory/${place#*:}" "/${place%:*}"
done
# So are the accounts that Debian's libvirt-daemon-system would make.
for file in passwd group; do cp "/etc/$file" "$directory/$file"; done
grep -q ^libvirt-qemu: /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >> "$directory/passwd"
grep -q ^libvirt-qemu: /etc/group || echo 'libvirt-qemu:x:64055:' >> "$directory/group"
grep -q ^kvm: /etc/group || echo 'kvm:x:64056:' >> "$directory/group"
for file in passwd group; do mount --bind "$directory/$file" "/etc/$file"; done
cat > "$directory/etc/libvirtd.conf" <<'END'
listen_tls = 0
auth_unix_rw = "none"
END
cat > "$directory/etc/qemu.conf" <<'END'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
remember_owner = 0
END

libvirtd -f "$directory/etc/libvirtd.conf" -p "$directory/libvirtd.pid" > "$directory/libvirtd.log" 2>&1 &
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
virsh() { command virsh -q -c qemu:///system "$@"; }
for _ in $(seq 100); do
  virsh version > /dev/null 2>&1 && break
  kill -0 $daemon || { cat "$directory/libvirtd.log" >&2; exit 1; }
  sleep 0.1
done

cat > "$directory/network.xml" <<'END'
<network>
  <name>switch</name>
  <forward mode='bridge'/>
  <bridge name='br0'/>
  <virtualport type='openvswitch'/>
  <portgroup name='ten'><vlan><tag id='10'/></vlan></portgroup>
  <portgroup name='native'>
    <vlan trunk='yes'><tag id='10' nativeMode='untagged'/><tag id='20'/></vlan>
  </portgroup>
</network>
END
virsh net-define "$directory/network.xml" > /dev/null
virsh net-start switch > /dev/null

machine() {  # NAME MAC PORTGROUP DRIVER
  cat > "$directory/$1.xml" <<END
<domain type='qemu'>
  <name>$1</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <uuid>11111111-2222-3333-4444-00000000000${1#vm}</uuid>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='network'>
      <mac address='$2'/><source network='switch' portgroup='$3'/><model type='virtio'/>$4
    </interface>
  </devices>
</domain>
END
  virsh create "$directory/$1.xml" > /dev/null
  virsh domiflist "$1" | awk '$3 != "" { print "'"$1"'", $1 }'
}
machine vm1 52:54:00:00:00:01 ten ""
machine vm2 52:54:00:00:00:02 native "<driver name='qemu' queues='2'/>"
for port in vnet0 vnet1; do
  ovs-vsctl get port $port tag vlan_mode trunks -- get interface $port error external_ids | tr '\n' ' '
  echo
  test "$(ovs-vsctl get interface $port ofport)" -gt 0
  test "$(ovs-vsctl get interface $port link_state)" = up
done
virsh domifstat vm1 vnet0 | wc -l
virsh destroy vm1 > /dev/null
ovs-vsctl list-ports br0
virsh destroy vm2 > /dev/null
virsh net-destroy switch > /dev/null
echo "left: $(ovs-vsctl list-ports br0)"
