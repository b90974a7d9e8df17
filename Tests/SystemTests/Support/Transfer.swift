// Files sent from host to host by TCP or UDP and compared by their hash: what arrives has to be what was sent, whatever
// offloads are on. The two ends are a few lines of Python, for they run in namespaces. Thread: one at a time.

import Foundation
import TestSupport

enum Transfer {
  enum Transport: String, CaseIterable, Sendable {
    case tcp
    case udp
    /// Datagrams that the kernel cuts out of a large one (UDP_SEGMENT), where it can.
    case udpSegmented = "uso"
    /// Datagrams above the MTU: IP fragments.
    case udpFragmented = "fragments"
  }

  // All transports one after the other: starting Python costs more than the transfers.
  private static let program = """
    import hashlib, random, socket, sys, time
    role, address, port, size, kinds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    def open_socket(kind):
        return socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    def receive_stream(s):
        h = hashlib.sha256()
        s.settimeout(15)
        c, _ = s.accept()
        c.settimeout(15)
        while True:
            b = c.recv(1 << 16)
            if not b: return h.hexdigest()
            h.update(b)
    def receive_datagrams(s, size):
        got, total = {}, 0
        s.settimeout(10)
        try:
            while total < size:
                b = s.recv(1 << 16)
                s.settimeout(2)
                number = int.from_bytes(b[:4], "big")
                if number not in got: total += len(b)
                got[number] = b
        except socket.timeout: pass
        return hashlib.sha256(b"".join(got[k] for k in sorted(got))).hexdigest() + f" {len(got)} {total}"
    def send_stream(s, size):
        data = random.Random(size).randbytes(size)
        s.settimeout(15)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        s.recv(1)
        return hashlib.sha256(data).hexdigest()
    def send_datagrams(s, kind, size):
        r, h, sent, number = random.Random(size), hashlib.sha256(), 0, 0
        if kind == "uso": s.setsockopt(17, 103, 1000)
        while sent < size:
            if kind == "uso": lengths = [1000] * 15 + [r.randint(8, 1000)]
            elif kind == "fragments": lengths = [r.randint(2000, 9000)]
            else: lengths = [r.randint(40, 1400)]
            # The receiver stops at the datagram that reaches the size.
            while len(lengths) > 1 and sent + sum(lengths[:-1]) >= size: lengths.pop()
            burst = b""
            for l in lengths:
                d = number.to_bytes(4, "big") + r.randbytes(l - 4)
                number, sent, burst = number + 1, sent + l, burst + d
                h.update(d)
            s.send(burst)
            time.sleep(0.0005)
        return h.hexdigest() + f" {number} {sent}"
    sizes = {k: size * 30 if k == "tcp" else size for k in kinds}
    if role == "receive":
        sockets = {}
        for i, kind in enumerate(kinds):
            s = sockets[kind] = open_socket(kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if kind != "tcp": s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
            s.bind((address, port + i))
            if kind == "tcp": s.listen(1)
        print("ready", flush=True)
        for kind in kinds:
            try: print(kind, receive_stream(sockets[kind]) if kind == "tcp" else receive_datagrams(sockets[kind], size), flush=True)
            except OSError as e: print(kind, "receiver:", e, flush=True)
    else:
        for i, kind in enumerate(kinds):
            try:
                s = open_socket(kind)
                s.settimeout(10)
                s.connect((address, port + i))
                print(kind, send_stream(s, sizes[kind]) if kind == "tcp" else send_datagrams(s, kind, size), flush=True)
            except OSError as e: print(kind, "sender:", e, flush=True)
    """

  /// Sends bytes by each transport in turn and compares.
  /// - Parameter byteCount: for datagrams; TCP sends thirty times as much.
  /// - Returns: empty if all arrived as they were sent; else what went wrong.
  static func run(
    _ lab: Lab, _ transports: [Transport], from sender: String, to receiver: String, address: String, port: Int = 5000,
    byteCount: Int = 100_000
  ) throws -> [String] {
    let file = "\(lab.directory)/transfer.py"
    if !FileManager.default.fileExists(atPath: file) {
      try program.write(toFile: file, atomically: true, encoding: .utf8)
    }
    let arguments = [address, "\(port)", "\(byteCount)"] + transports.map(\.rawValue)
    let receiving = try lab.start(["python3", file, "receive"] + arguments, in: receiver)
    guard eventually(.seconds(10), { receiving.output.contains("ready") }) else {
      return ["receiver: \(receiving.errorOutput)"]
    }
    let sending = try lab.attempt(["python3", file, "send"] + arguments, in: sender, deadline: .seconds(90))
    _ = receiving.waitForExit(.seconds(40))
    receiving.kill9()
    let sent = sending.output.split(separator: "\n")
    let received = receiving.output.split(separator: "\n").dropFirst()
    if sent.count == transports.count, Array(received) == sent { return [] }
    return ["sent:"] + sent.map(String.init) + [sending.errorOutput, "received:"] + received.map(String.init)
      + [receiving.errorOutput]
  }

  /// Turns segmentation and checksum offloads of a link on or off.
  static func setOffloads(_ lab: Lab, _ isOn: Bool, link: String, in namespace: String) throws {
    let value = isOn ? "on" : "off"
    // Order matters: segmentation needs checksums. A feature that the link lacks is no failure here.
    let features = ["tx", "sg", "tso", "gso", "gro", "tx-udp-segmentation"]
    for feature in isOn ? features : features.reversed() where feature != "sg" || isOn {
      _ = try lab.attempt(["ethtool", "-K", link, feature, value], in: namespace)
    }
  }
}

/// A throughput test with iperf3.
enum Throughput {
  /// Runs it.
  /// - Parameter arguments: more for the client, such as `-R` or `-u`.
  /// - Returns: bits per second that arrived.
  static func run(
    _ lab: Lab, from client: String, to server: String, address: String, seconds: Int, _ arguments: [String] = []
  ) throws -> Double {
    let report = try report(lab, from: client, to: server, address: address, seconds: seconds, arguments)
    guard let rate = report.received["bits_per_second"] as? Double else {
      throw TestFailure("iperf3 said: \(report.received)")
    }
    return rate
  }

  /// What iperf3 says of both ends.
  struct Report {
    var sent: [String: Any]
    var received: [String: Any]
  }

  static func report(
    _ lab: Lab, from client: String, to server: String, address: String, seconds: Int, _ arguments: [String] = []
  ) throws -> Report {
    let serving = try lab.start(["iperf3", "-s", "-1", "-B", address], in: server)
    guard
      try eventually(.seconds(5), { try lab.run(["ss", "-Hltn"], in: server).contains(":5201") })
    else { throw TestFailure("iperf3 does not listen: \(serving.output)\(serving.errorOutput)") }
    let text = try lab.run(
      ["iperf3", "-J", "-c", address, "-t", "\(seconds)"] + arguments, in: client, deadline: .seconds(seconds + 20))
    _ = serving.waitForExit(.seconds(5))
    guard let report = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
      let end = report["end"] as? [String: Any],
      let received = (end["sum_received"] ?? end["sum"]) as? [String: Any],
      let sent = (end["sum_sent"] ?? end["sum"]) as? [String: Any]
    else { throw TestFailure("iperf3 said: \(text.prefix(500))") }
    return Report(sent: sent, received: received)
  }
}
