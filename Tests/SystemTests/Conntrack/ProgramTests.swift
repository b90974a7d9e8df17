// Programs as people run them, through translation: FTP, whose data connections only a helper knows; a long transfer; traffic that
// goes on while somebody floods the switch.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct ProgramTests {
  /// A client whose address is translated to 10.1.9.9, a server, and a third host that may send what it likes.
  private static func withNAT(_ body: (Lab, Daemon, String, String) throws -> Void) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let client = try daemon.host("a", bridge: "br0", "", addresses: ["10.1.0.1/16"])
      let server = try daemon.host("b", bridge: "br0", "", addresses: ["10.1.0.2/16"])
      let mac = try lab.hardwareAddress("a", in: client)
      try lab.run(["ip", "-n", server, "neigh", "add", "10.1.9.9", "lladdr", mac, "dev", "b", "nud", "permanent"])
      let rules = """
        table=0,priority=50,arp,actions=NORMAL
        table=0,priority=10,ip,actions=ct(zone=7,nat,table=1)
        table=1,priority=30,ct_state=+trk+inv,actions=drop
        table=1,priority=20,ct_state=+trk+est,actions=NORMAL
        table=1,priority=25,ct_state=+trk+new+rel,ip,actions=ct(commit,zone=7,nat),NORMAL
        table=1,priority=20,ct_state=+trk-new+rel,actions=NORMAL
        table=1,priority=15,ct_state=+trk+new,tcp,tp_dst=21,in_port=a,actions=ct(commit,zone=7,nat(src=10.1.9.9),alg=ftp),NORMAL
        table=1,priority=10,ct_state=+trk+new,ip,in_port=a,actions=ct(commit,zone=7,nat(src=10.1.9.9)),NORMAL
        """
      let file = "\(lab.directory)/rules"
      try rules.write(toFile: file, atomically: true, encoding: .utf8)
      try daemon.configure("del-flows br0")
      try daemon.configure("add-flows br0 \(file)")
      try body(lab, daemon, client, server)
    }
  }

  @Test func activeAndPassiveFTPFindTheirDataConnections() throws {
    try Self.withNAT { lab, daemon, client, server throws in
      let ftp = try FTPServer(lab, in: server)
      let (content, serving) = (ftp.content, ftp.process)
      for mode in [["--ftp-port", "-", "--disable-eprt"], ["--ftp-port", "-"], ["--disable-epsv"], []] {
        // The server refuses a PORT that names another host than the one it talks to: the helper has to have changed it.
        let result = try lab.attempt(
          ["curl", "-sS", "--max-time", "10"] + mode + ["ftp://10.1.0.2/file"], in: client)
        #expect(
          result.output == content,
          "\(mode): \(result.output.count) bytes, \(result.errorOutput) \(serving.output) \(serving.errorOutput)")
      }
      let list = try daemon.configure("conntrack list zone=7")
      #expect(list.contains("dport=21 ") && list.contains("helper=ftp"), "\(list.prefix(600))")
      #expect(list.contains("sport=20 "), "the server's own connection was expected: \(list.prefix(600))")
    }
  }

  @Test func aLongTransferIsNotSentTwice() throws {
    try Self.withNAT { lab, _, client, server throws in
      // As much as leaves the machine to the tests beside it.
      let report = try Throughput.report(
        lab, from: client, to: server, address: "10.1.0.2", seconds: 10, ["-b", "400M"])
      let sent = report.sent["bytes"] as? Double ?? 0
      let again = (report.sent["retransmits"] as? Double ?? .infinity) * 1448
      #expect(sent > 100_000_000, "\(sent) bytes in 10 s")
      #expect(again < sent / 100, "\(again) of \(sent) bytes were sent again")
    }
  }

  /// Frames of a source port and address of their own each, sent as fast as they go.
  private static let flood = """
    import socket, struct, sys, time
    link, mac, kind = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), sys.argv[3]
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((link, 0))
    own = s.getsockname()[4]
    def checksum(data):
        if len(data) & 1: data += b"\\0"
        total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
        while total >> 16: total = (total & 0xffff) + (total >> 16)
        return ~total & 0xffff
    def ip(number, protocol, payload, fragment=0):
        source = struct.pack("!I", 0x0a010000 | 0x4000 | number >> 8 & 0x3fff)
        target = bytes([10, 1, 0, 2])
        if protocol == 6:
            pseudo = source + target + struct.pack("!BBH", 0, 6, len(payload))
            payload = payload[:16] + struct.pack("!H", checksum(pseudo + payload)) + payload[18:]
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number & 0xffff, fragment, 64, protocol, 0) + source + target
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
        return mac + own + b"\\x08\\x00" + header + payload
    frames, number = [], 0
    end, count = time.monotonic() + float(sys.argv[4]), 0
    while time.monotonic() < end:
        for _ in range(64):
            number += 1
            port = 1024 + number * 7919 % 60000
            if kind == "syn":
                frame = ip(number, 6, struct.pack("!HHIIBBHHH", port, 80, number, 0, 0x50, 2, 1024, 0, 0))
            elif kind == "udp":
                frame = ip(number, 17, struct.pack("!HHHH", port, 53, 12, 0) + b"abcd")
            else:
                frame = ip(number, 17, struct.pack("!HHHH", port, 53, 1000, 0) + b"abcdefgh", 0x2000 | (number & 1) * 100)
            try:
                s.send(frame)
                count += 1
            except OSError: pass
        # Other tests run beside this one: some 20,000 a second are enough to fill a table of as many.
        time.sleep(0.002)
    print(count)
    """

  /// Sends a byte back and forth on one connection of long standing: prints how often, and the longest wait in seconds.
  private static let dialogue = """
    import socket, sys, time
    if sys.argv[1] == "server":
        s = socket.create_server(("0.0.0.0", 9000))
        print("listening", flush=True)
        c, _ = s.accept()
        while True:
            b = c.recv(100)
            if not b: break
            c.sendall(b)
    else:
        c = socket.create_connection((sys.argv[2], 9000), timeout=10)
        c.settimeout(10)
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end, count, longest = time.monotonic() + float(sys.argv[3]), 0, 0
        while time.monotonic() < end:
            start = time.monotonic()
            c.sendall(b"x")
            if c.recv(100) != b"x": raise SystemExit("answered otherwise")
            longest = max(longest, time.monotonic() - start)
            count += 1
            time.sleep(0.005)
        print(count, longest)
    """

  @Test(arguments: ["syn", "udp", "fragments"])
  func aFloodNeitherStopsWhatIsEstablishedNorGrowsMemory(kind: String) throws {
    try Self.withNAT { lab, daemon, client, server throws in
      let flooder = try daemon.host("c", bridge: "br0", "", addresses: ["10.1.0.3/16"])
      let actions = "ct(commit,zone=7),NORMAL"
      try daemon.configure("add-flow br0 table=1,priority=10,ct_state=+trk+new,ip,in_port=c,actions=\(actions)")
      let target = "\(daemon.runDirectory)/vswitchd.\(daemon.processID ?? 0).ctl"
      try lab.run(["ovs-appctl", "-t", target, "dpctl/ct-set-maxconns", "20000"])
      let serving = try lab.start(["python3", "-u", "-c", Self.dialogue, "server"], in: server)
      #expect(eventually(.seconds(5)) { serving.output.contains("listening") })
      let talking = try lab.start(["python3", "-c", Self.dialogue, "client", "10.1.0.2", "6"], in: client)
      #expect(try eventually(.seconds(5)) { try daemon.configure("conntrack list").contains("dport=9000") })
      let before = try daemon.residentKibibytes()
      let mac = try lab.hardwareAddress("b", in: server)
      let sent = try lab.run(["python3", "-c", Self.flood, "c", mac, kind, "4"], in: flooder)
      #expect((Int(sent.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0) > 20_000, "\(sent)")
      _ = talking.waitForExit(.seconds(15))
      let words = talking.output.split(whereSeparator: \.isWhitespace).map(String.init)
      #expect(words.count == 2, "\(talking.output) \(talking.errorOutput)")
      #expect((words.first.flatMap { Int($0) } ?? 0) > 50, "\(talking.output)")
      // A retransmission would take 200 ms at least, and a lost connection ten seconds.
      #expect((words.last.flatMap { Double($0) } ?? 99) < 5, "\(talking.output)")
      let grown = try daemon.residentKibibytes() - before
      #expect(grown < 40 * 1024, "\(grown) KiB more")
      let statistics = try daemon.configure("conntrack stats")
      #expect(statistics.contains("evicted"), "\(statistics)")
      #expect(try daemon.configure("conntrack list").contains("dport=9000"))
      let counts = try daemon.configure("--json conntrack stats")
      let connections = counts.split(separator: "\"connections\":").last.flatMap { Int($0.prefix { $0.isNumber }) }
      #expect((connections ?? .max) <= 20_000, "\(counts)")
    }
  }
}
