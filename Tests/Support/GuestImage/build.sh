#!/bin/bash
# Builds the kernel and initramfs of the guests that the tests boot: Debian's cloud kernel, busybox, iperf3, ethtool and the
# modules of a network guest. Prints the directory that holds `vmlinuz` and `initramfs`; once built, that is all it does.
#   VSWITCH_GUEST_CACHE=DIR   where it is kept (default: vswitch-guest in ${XDG_CACHE_HOME:-~/.cache})
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${VSWITCH_GUEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vswitch-guest}
programs="iperf3 ethtool"
at_boot="virtio_pci virtio_net"   # loaded by init; the others by modprobe or by the kernel itself
more="8021q"
PATH=$PATH:/usr/sbin:/sbin

key=$(cat "$0" "$here/init" "$here/netup" | sha256sum | cut -c1-12)
out=$cache/$key
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9   # the second of two at once finds the first one's result
if [ -f "$out/initramfs" ]; then echo "$out"; exit 0; fi
for program in busybox xz $programs; do
  command -v "$program" > /dev/null || { echo "no $program: run scripts/install-packages.sh test" >&2; exit 1; }
done

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Downloaded and unpacked, not installed: this machine's own kernel is nobody's business here.
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$package" ] || { apt-get -qq update >&2; package=$(apt-cache depends linux-image-cloud-amd64 |
  sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1); }
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2)
dpkg-deb -x "$work"/*.deb "$work/kernel"
version=$(ls "$work/kernel/lib/modules")

root=$work/root
modules=$root/lib/modules/$version
busybox=$(command -v busybox)
mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,tmp,run,etc,root} "$modules"
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
ln -s ../bin/busybox "$root/sbin/modprobe"
install -m 755 "$here/init" "$root/init"
install -m 755 "$here/netup" "$root/bin/netup"
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
add() { [ -e "$root$2" ] || { mkdir -p "$root$(dirname "$2")"; cp -L "$1" "$root$2"; }; }
for program in $programs; do
  path=$(command -v "$program")
  rm -f "$root/bin/$program"
  add "$path" "/bin/$program"
  ldd "$path" 2> /dev/null | grep -oE '/[^ ]+' | sort -u | while read -r library; do add "$library" "$library"; done
done

# Modules with what they need, in loading order: a module's own header lists its dependencies.
find "$work/kernel/lib/modules" -name '*.ko*' > "$work/all"
declare -A seen=()
order=()
visit() {
  local name=${1//-/_} file plain dependency
  [ -z "${seen[$name]:-}" ] || return 0
  seen[$name]=1
  file=$(grep -m1 -E "/${name//_/[-_]}\.ko(\.xz)?$" "$work/all") || return 0   # built in
  plain=${file##*/}
  plain=${plain%.xz}
  case $file in *.xz) xz -dc "$file" > "$modules/$plain" ;; *) cp "$file" "$modules/$plain" ;; esac
  for dependency in $(tr '\0' '\n' < "$modules/$plain" | sed -n 's/^depends=//p' | tr , ' '); do visit "$dependency"; done
  order+=("/lib/modules/$version/$plain")
}
for module in $at_boot; do visit "$module"; done
printf '%s\n' "${order[@]}" > "$root/etc/modules.boot"
for module in $more; do visit "$module"; done
(cd "$root" && "$busybox" depmod -b "$root" "$version") >&2

# Not compressed: an emulated processor unpacks more slowly than QEMU reads.
(cd "$root" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc 2> /dev/null) > "$work/initramfs"
mkdir -p "$out"
cp "$work/kernel/boot/vmlinuz-$version" "$out/vmlinuz"
mv "$work/initramfs" "$out/initramfs"
echo "$out"
