"""A guest behind a tap, as QEMU is: holds the tap, answers ARP and echo requests for one address.

  tap_guest.py NAME QUEUES ADDRESS

The tap is made if there is none of that name. Prints "ready" once it is held.
"""
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE = 0x400454CA, 0x2, 0x1000, 0x100
name, count, address = sys.argv[1], int(sys.argv[2]), socket.inet_aton(sys.argv[3])
flags = IFF_TAP | IFF_NO_PI | (IFF_MULTI_QUEUE if count > 1 else 0)
queues = []
for _ in range(count):
    queues.append(os.open("/dev/net/tun", os.O_RDWR))
    fcntl.ioctl(queues[-1], TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
print("ready", flush=True)
mac = b"\x02\0\0\0\0\x99"
while True:
    for queue in select.select(queues, [], [])[0]:
        frame = os.read(queue, 65536)
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == address:
            os.write(queue, frame[6:12] + mac + frame[12:20] + b"\0\2" + mac + address + frame[22:32])
        elif frame[12:14] == b"\x08\0" and frame[23] == 1 and frame[30:34] == address and frame[34] == 8:
            checksum = struct.unpack("!H", frame[36:38])[0] + 0x0800
            checksum = (checksum & 0xFFFF) + (checksum >> 16)
            os.write(
                queue, frame[6:12] + mac + frame[12:26] + frame[30:34] + frame[26:30] + b"\0" + frame[35:36]
                + struct.pack("!H", checksum) + frame[38:])
