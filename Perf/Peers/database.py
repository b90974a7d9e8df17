#!/usr/bin/env python3
"""The embedded database against ovsdb-server, side by side: transactions a second and what they cost as rows pile up.

  database.py [--program DIR/vswitchd] [--rows 10000] [--count 500] [--json FILE]

Root (vswitchd opens no port here, but it starts as it always does). Both are asked by the same code over unix sockets,
one request at a time unless it says "pipelined"; both have their files in the same directory. vswitchd syncs every
transaction to disk before it answers; ovsdb-server does where the transaction asks for it ("durable").
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class Client:
    """JSON-RPC over a unix socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.buffer, self.decoder, self.last = "", json.JSONDecoder(), 0

    def send(self, method, *params):
        self.last += 1
        self.socket.sendall(json.dumps({"id": self.last, "method": method, "params": params}).encode())

    def receive(self):
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer)
                self.buffer = self.buffer[end:].lstrip()
                if value.get("id") is not None and "method" not in value:
                    if value.get("error"):
                        raise RuntimeError(value["error"])
                    return value["result"]
            except json.JSONDecodeError:
                data = self.socket.recv(1 << 20)
                if not data:
                    raise RuntimeError("connection closed")
                self.buffer += data.decode()

    def call(self, method, *params):
        self.send(method, *params)
        return self.receive()

    def transact(self, *operations):
        results = self.call("transact", "Open_vSwitch", *operations)
        for result in results:
            if result and "error" in result:
                raise RuntimeError(result)
        return results


class Server:
    """A server on a database of its own."""

    def __init__(self, name, directory, program):
        self.name, self.directory, self.program = name, os.path.join(directory, name), program
        os.mkdir(self.directory, 0o700)
        self.path = os.path.join(self.directory, "db.sock")
        self.durable = [{"op": "commit", "durable": True}]
        if name == "ovsdb-server":
            subprocess.run(["ovsdb-tool", "create", self.directory + "/db", SCHEMA], check=True)

    def start(self):
        """Returns the seconds until it answers."""
        if os.path.exists(self.path):
            os.unlink(self.path)
        if self.name == "vswitchd":
            command = [self.program, "--run-dir", self.directory, "--log-file", self.directory + "/log"]
        else:
            command = [
                "ovsdb-server", self.directory + "/db", "--remote=punix:" + self.path, "--unixctl=none",
                "--log-file=" + self.directory + "/log", "-vconsole:off"]
        began = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                Client(self.path).call("list_dbs")
                return time.monotonic() - began
            except OSError:
                if self.process.poll() is not None or time.monotonic() - began > 60:
                    sys.exit(f"{self.name} did not start: see {self.directory}/log")
                time.sleep(0.002)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def qos(number):
    return {"op": "insert", "table": "QoS", "row": {"type": f"t{number}", "other_config": ["map", [["k", "v"]]]}}


def rate(count, body):
    began = time.monotonic()
    for number in range(count):
        body(number)
    return count / (time.monotonic() - began)


def measure(server, rows, count):
    figures = {"start_empty_s": server.start()}
    client = Client(server.path)
    root = client.transact({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["_uuid"]})[0]["rows"]
    if not root:
        client.transact({"op": "insert", "table": "Open_vSwitch", "row": {}})
    durable = server.durable
    figures["transactions_s"] = rate(count, lambda n: client.transact(qos(n), *durable))
    pending = 2 * count
    began = time.monotonic()
    for n in range(pending):
        client.send("transact", "Open_vSwitch", qos(n), *durable)
    for _ in range(pending):
        client.receive()
    figures["transactions_pipelined_s"] = pending / (time.monotonic() - began)
    clients = [Client(server.path) for _ in range(16)]
    began = time.monotonic()
    rounds = max(count // 8, 1)
    for n in range(rounds):
        for one in clients:
            one.send("transact", "Open_vSwitch", qos(n), *durable)
        for one in clients:
            one.receive()
    figures["transactions_16_clients_s"] = rounds * 16 / (time.monotonic() - began)

    began = time.monotonic()
    client.transact(*[qos(n) for n in range(rows)], *durable)
    figures[f"insert_{rows}_rows_s"] = time.monotonic() - began
    figures[f"transactions_with_{rows}_rows_s"] = rate(count, lambda n: client.transact(qos(n), *durable))
    began = time.monotonic()
    monitor = Client(server.path)
    monitor.call("monitor_cond_since", "Open_vSwitch", "m", {"QoS": [{}]}, "0" * 8 + "-0000-0000-0000-" + "0" * 12)
    figures[f"first_dump_of_{rows}_rows_s"] = time.monotonic() - began
    figures["transactions_with_a_monitor_s"] = rate(count, lambda n: client.transact(qos(n), *durable))

    # A set that grows, as the ports of a bridge do: each step is an insert and a change of the set that holds it.
    bridge = client.transact(
        {"op": "insert", "table": "Bridge", "row": {"name": "br0"}, "uuid-name": "b"},
        {"op": "mutate", "table": "Open_vSwitch", "where": [],
         "mutations": [["bridges", "insert", ["named-uuid", "b"]]]})[0]["uuid"]

    def add(number):
        client.transact(
            {"op": "insert", "table": "Mirror", "row": {"name": f"m{number}"}, "uuid-name": "m"},
            {"op": "mutate", "table": "Bridge", "where": [["_uuid", "==", bridge]],
             "mutations": [["mirrors", "insert", ["named-uuid", "m"]]]}, *durable)

    step = max(count * 2 // 5, 1)
    for part in range(5):
        figures[f"set_members_{part * step}_to_{part * step + step}_s"] = rate(step, add)
    server.stop()
    figures["start_full_s"] = server.start()
    server.stop()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=shutil.which("vswitchd") or "vswitchd")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--count", type=int, default=500, help="transactions of each kind")
    parser.add_argument("--directory", help="where the files are (default: a temporary directory)")
    parser.add_argument("--json", help="write the figures here, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        all_figures = {
            name: measure(Server(name, directory, arguments.program), arguments.rows, arguments.count)
            for name in ("vswitchd", "ovsdb-server")}
    ours, theirs = all_figures["vswitchd"], all_figures["ovsdb-server"]
    print(f"{'':36} {'vswitchd':>12} {'ovsdb-server':>13} {'times as fast':>14}")
    for name, own in ours.items():
        other = theirs[name]
        is_time = name.startswith(("start", "insert", "first"))
        print(f"{name:36} {own:12.3f} {other:13.3f} {other / own if is_time else own / other:14.2f}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(all_figures, file, indent=1)


if __name__ == "__main__":
    main()
