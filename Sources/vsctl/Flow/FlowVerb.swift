// What a command on a bridge's OpenFlow tables is, and the options that such commands share: those of ovs-ofctl(8).

import ArgumentParser
import OpenFlow

/// A command on one bridge by OpenFlow, over its management socket.
protocol FlowVerb: ParsableCommand {
  var connection: ConnectionOptions { get }
  /// Does it, and prints.
  /// - Returns: the exit status.
  func run(_ session: FlowSession) async throws -> Int32
}

/// Where a command goes, and in which version of OpenFlow.
struct ConnectionOptions: ParsableArguments {
  @Option(
    name: [.customShort("O", allowingJoined: true), .customLong("protocols")],
    help: ArgumentHelp(
      "Versions of OpenFlow that may be spoken, such as OpenFlow13,OpenFlow15; the highest common one is (default: any).",
      valueName: "versions"))
  var protocols: String?

  @Argument(
    help: "A bridge, or where one listens: unix:PATH, tcp:HOST:PORT, ssl:HOST:PORT (port 6653).",
    completion: NameCompletion.bridge)
  var bridge: String

  /// The versions asked for.
  func versions() throws(CommandFault) -> VersionSet {
    guard let protocols else { return .all }
    var versions: [OpenFlowVersion] = []
    for word in protocols.split(separator: ",") {
      let digits = word.lowercased().hasPrefix("openflow") ? word.dropFirst(8) : word
      guard
        let version = OpenFlowVersion.allCases.first(where: {
          digits == $0.name || digits == $0.name.filter { $0 != "." }
        })
      else {
        throw CommandFault(
          "\(word) is no version of OpenFlow that is spoken here",
          remedy: "give some of OpenFlow10, OpenFlow13, OpenFlow14, OpenFlow15")
      }
      versions.append(version)
    }
    guard !versions.isEmpty else {
      throw CommandFault("-O names no version", remedy: "give some of OpenFlow10, OpenFlow13, OpenFlow14, OpenFlow15")
    }
    return VersionSet(versions)
  }
}

/// How numbers of ports and tables are printed.
struct NamesOptions: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "Print names of ports and tables (default: on a terminal).")
  var names: Bool?

  var showsNames: Bool { names ?? Terminal.isTerminal }
}
