// Where a packet would go, and which flows the datapath has cached. Methods of the control socket; results come as JSON.

import ArgumentParser
import CPcap
import OVSDB

struct TraceCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract: "Follow a packet through a bridge's tables: where it leaves, or why it is dropped and what would help.",
    discussion: """
      FLOW describes the packet as a match of ovs-ofctl(8) without masks; with --packet or --pcap it says the rest, at \
      least in_port. Nothing is sent, counted or learned. For example:
        vsctl trace br0 in_port=p1,tcp,nw_dst=192.0.2.1,tp_dst=80
        vsctl trace br0 in_port=p1 --pcap dump.pcap
      """)

  @Option(help: ArgumentHelp("The packet's bytes in hexadecimal.", valueName: "hex")) var packet: String?
  @Option(
    help: ArgumentHelp("A capture file, whose packets are followed; - for standard input.", valueName: "file"),
    completion: .file())
  var pcap: String?
  @Option(help: ArgumentHelp("Most packets of the file.", valueName: "n")) var count = 16
  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument var flow: String = ""

  func request() throws(CommandFault) -> ControlRequest {
    guard packet == nil || pcap == nil else {
      throw CommandFault("a packet is given twice", remedy: "give --packet or --pcap")
    }
    guard packet != nil || pcap != nil || !flow.isEmpty else {
      throw CommandFault(
        "there is no packet to follow", remedy: "describe it, as in_port=p1,icmp,nw_dst=192.0.2.1, or give --packet HEX"
      )
    }
    guard (1...256).contains(count) else { throw CommandFault("--count is \(count)", remedy: "give 1 to 256") }
    var packets = packet.map { [$0] } ?? []
    if let pcap { packets = try PacketFile.packets(pcap, limit: count) }
    return ControlRequest(method: "ofproto/trace", parameters: [bridge, flow] + packets)
  }

  func output(_ result: JSONValue) -> CommandOutput {
    let texts = (result.array ?? []).compactMap { $0["text"]?.string }
    return CommandOutput(
      body: .text(texts.map { TextSafety.escaped($0, keeping: ["\n"]) + "\n" }.joined(separator: "\n")), json: result)
  }

  func fault(_ text: String) -> CommandFault {
    var fault = CommandFault(text, exitCode: 2)
    // The place in the description that the daemon names.
    let words = text.split(separator: " ", maxSplits: 2)
    if words.first == "character", words.count > 1, let place = Int(words[1].filter(\.isNumber)), place > 0 {
      fault.excerpt = flow + "\n" + String(repeating: " ", count: place - 1) + "^"
    }
    return fault
  }
}

/// Capture files (libpcap).
enum PacketFile {
  /// The first packets of a file, in hexadecimal.
  static func packets(_ path: String, limit: Int) throws(CommandFault) -> [String] {
    var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
    guard let file = unsafe pcap_open_offline(path, &message) else {
      let bytes = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw CommandFault(
        "\(path) can't be read (\(String(decoding: bytes, as: UTF8.self)))", remedy: "give a capture file, or -")
    }
    defer { unsafe pcap_close(file) }
    guard unsafe pcap_datalink(file) == DLT_EN10MB else {
      throw CommandFault("\(path) is no capture of Ethernet packets", remedy: "capture on an Ethernet interface")
    }
    var packets: [String] = []
    while packets.count < limit {
      var header: UnsafeMutablePointer<pcap_pkthdr>?
      var data: UnsafePointer<UInt8>?
      guard unsafe pcap_next_ex(file, &header, &data) == 1, let header = unsafe header, let data = unsafe data else {
        break
      }
      let bytes = unsafe UnsafeBufferPointer(start: data, count: Int(header.pointee.caplen))
      packets.append(unsafe bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    }
    guard !packets.isEmpty else { throw CommandFault("\(path) has no packets", remedy: "give another capture file") }
    return packets
  }
}

struct DatapathGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "datapath", abstract: "Show what the datapath has cached, and which worker runs what.",
    subcommands: [DatapathFlowsCommand.self, DatapathWorkersCommand.self])
}

struct DatapathWorkersCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "workers", abstract: "Print the workers, their CPUs, and the bridges and ports that they run.",
    discussion: "There is one for each CPU of other_config:pmd-cpu-mask of the table Open_vSwitch.")

  func request() -> ControlRequest { ControlRequest(method: "dpif-netdev/pmd-rxq-show", parameters: []) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    var rows: [[String]] = []
    for worker in result.array ?? [] {
      let cpu = worker["cpu"]?.integer.map { String($0) } ?? "any"
      let bridges = worker["bridges"]?.array ?? []
      for bridge in bridges {
        let ports = (bridge["ports"]?.array ?? []).map(JSONText.cell).joined(separator: " ")
        rows.append([JSONText.cell(worker["worker"]), cpu, JSONText.cell(bridge["name"]), ports])
      }
      if bridges.isEmpty { rows.append([JSONText.cell(worker["worker"]), cpu, "", ""]) }
    }
    let table = AlignedTable(
      headings: ["worker", "cpu", "bridge", "ports"], rows: rows, rightAligned: [0, 1], separator: "  ",
      trimsLineEnds: true)
    return CommandOutput(body: .text(table.text), json: result)
  }
}

struct DatapathFlowsCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "flows", abstract: "Print the cached decisions of flow tables, each for all packets of its match.",
    discussion: "A bridge whose tables say nothing but NORMAL needs none, and has none.")

  @Argument(completion: NameCompletion.bridge) var bridge: String?

  func request() -> ControlRequest {
    ControlRequest(
      method: bridge == nil ? "dpctl/dump-flows" : "dpif/dump-flows", parameters: [bridge].compactMap { $0 })
  }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    var rows: [[String]] = []
    var summary = ""
    for part in result.array ?? [] {
      let bridge = JSONText.cell(part["bridge"])
      for flow in part["flows"]?.array ?? [] {
        let drop = flow["drop"]?.string.map { " (\($0))" } ?? ""
        rows.append([
          bridge, JSONText.cell(flow["packets"]), JSONText.cell(flow["bytes"]),
          JSONText.cell(flow["used_seconds"]) + " s",
          JSONText.cell(flow["match"]), JSONText.cell(flow["actions"]) + drop,
        ])
      }
      let cache = part["cache"]
      summary +=
        "\(bridge): \(JSONText.cell(cache?["flows"])) flows of \(JSONText.cell(cache?["flow_limit"])), "
        + "\(JSONText.cell(cache?["masks"])) masks of \(JSONText.cell(cache?["mask_limit"])), "
        + "\(JSONText.cell(cache?["missed"])) packets missed, \(JSONText.cell(cache?["not_kept"])) decisions not kept\n"
    }
    let table = AlignedTable(
      headings: ["bridge", "packets", "bytes", "used", "match", "actions"], rows: rows, rightAligned: [1, 2, 3],
      separator: "  ", trimsLineEnds: true)
    return CommandOutput(body: .text((rows.isEmpty ? "" : table.text + "\n") + summary), json: result)
  }
}
