#!/usr/bin/env python3
"""Sends FlowMods of OpenFlow 1.3 into table 200 at a steady rate: flow_mods.py SOCKET RATE SECONDS.

Each adds a rule; after 1,000 the same ones are added again. Exits with 1 if one is refused or they could not be kept up. With
- for SOCKET it does all of that but reaches no switch: what the sender alone takes from whoever shares its processor."""
import socket
import struct
import sys
import time


def message(kind, number, body=b""):
    return struct.pack("!BBHI", 4, kind, 8 + len(body), number) + body


def flow_mod(number):
    address = struct.pack("!HI", 0x0200, number)
    match = struct.pack("!HHHBB", 1, 4 + 10, 0x8000, 3 << 1, 6) + address
    match += bytes(-len(match) % 8)
    action = struct.pack("!HHIH6x", 0, 16, 1, 0xffff)
    instruction = struct.pack("!HH4x", 4, 8 + len(action)) + action
    return message(14, number, struct.pack("!QQBBHHHIIIHH", 0, 0, 200, 0, 0, 0, 100, 0xffffffff, 0xffffffff, 0xffffffff,
                                           0, 0) + match + instruction)


class Nowhere:
    """Takes everything, and answers nothing."""

    def __init__(self):
        self.file = open("/dev/null", "wb", buffering=0)

    def sendall(self, data):
        self.file.write(data)

    def settimeout(self, seconds):
        self.seconds = seconds

    def recv(self, _):
        time.sleep(self.seconds)
        raise TimeoutError


def main():
    path, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    connection = Nowhere() if path == "-" else socket.socket(socket.AF_UNIX)
    if path != "-":
        connection.connect(path)
    connection.sendall(message(0, 1))
    buffer, refused, answered, sent, began = b"", 0, 0, 0, time.monotonic()
    connection.settimeout(0.001)
    while time.monotonic() - began < seconds or answered < sent:
        if time.monotonic() - began > seconds + 5:
            return f"{sent - answered} of {sent} FlowMods were not done"
        wanted = min(int((time.monotonic() - began) * rate), int(seconds * rate))
        for _ in range(0, wanted - sent - 9, 10):
            # A barrier for every ten, so that it is known when they are done.
            connection.sendall(b"".join(flow_mod(1 + (sent + n) % 1000) for n in range(10)) + message(20, 7))
            sent += 10
            if path == "-":
                answered = sent
        try:
            buffer += connection.recv(65536)
        except TimeoutError:
            pass
        while len(buffer) >= 8:
            _, kind, length, number = struct.unpack("!BBHI", buffer[:8])
            if len(buffer) < length:
                break
            if kind == 1:
                refused += 1
            elif kind == 2:
                connection.sendall(message(3, number, buffer[8:length]))
            elif kind == 21:
                answered += 10
            buffer = buffer[length:]
    return f"{refused} FlowMods were refused" if refused else None


sys.exit(main())
