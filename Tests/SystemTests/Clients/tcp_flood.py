"""Opens TCP connections to port 53 of many stations, and asks half of them something: tcp_flood.py LINK SERVER COUNT."""
import socket
import struct
import subprocess
import sys
import time

from checksum import checksum


def hardware_address(link, server):
    subprocess.run(["ping", "-c", "1", "-W", "2", server], stdout=subprocess.DEVNULL)
    words = subprocess.run(["ip", "neigh", "show", server, "dev", link], stdout=subprocess.PIPE, text=True).stdout.split()
    return bytes.fromhex(words[words.index("lladdr") + 1].replace(":", ""))


def frame(number, gateway, server, flags, sequence, acknowledgement, data=b""):
    mac = b"\x02\x77" + struct.pack("!I", number)
    source = socket.inet_aton("192.168.77.%d" % (2 + number % 250))
    segment = struct.pack("!HHIIBBHHH", 1024 + number % 60000, 53, sequence, acknowledgement, 0x50, flags, 65535, 0, 0)
    segment += data
    pseudo = source + server + struct.pack("!BBH", 0, 6, len(segment))
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + source + server
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return gateway + mac + b"\x08\x00" + header + segment


def main():
    link, server, count = sys.argv[1], socket.inet_aton(sys.argv[2]), int(sys.argv[3])
    gateway = hardware_address(link, sys.argv[2])
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    raw.bind((link, 0))
    raw.setblocking(False)
    question = struct.pack("!HHHHHHH", 18, 1, 0x0100, 1, 0, 0, 0) + b"\1x\0" + struct.pack("!HH", 1, 1)
    question = struct.pack("!H", len(question) - 2) + question[2:]
    answers = 0
    for number in range(count):
        raw.send(frame(number, gateway, server, 2, 1000, 0))
        time.sleep(0.002)
        while True:
            try:
                answer = raw.recv(2048)
            except BlockingIOError:
                break
            # SYN and ACK for one of these stations: half of them ask, the others leave it.
            if answer[23:24] == b"\x06" and answer[47] == 0x12 and answer[:2] == b"\x02\x77":
                answers += 1
                station = struct.unpack("!I", answer[2:6])[0]
                first = struct.unpack("!I", answer[38:42])[0]
                if station % 2:
                    raw.send(frame(station, gateway, server, 0x18, 1001, first + 1 & 0xFFFFFFFF, question))
    print("answers", answers)


main()
