// Files of descriptions: one in a line, comments from "#" to the end of the line, empty lines skipped, and so are the titles
// of dump-flows and dump-groups, so that what they print can be read again.

import VSwitchCore

/// What is wrong in a file, and in which line.
package struct FlowFileError: Error, Equatable, Sendable, CustomStringConvertible {
  /// From 1.
  package var lineNumber: Int
  /// The line as it stands in the file.
  package var line: String
  package var error: FlowTextError

  package var description: String { "line \(lineNumber), \(error)" }
  /// The line and a caret below the place.
  package var caret: String { error.caret(under: line) }
}

/// One change of a bundle.
package enum BundleEntry: Sendable {
  case flow(ParsedFlow)
  case group(GroupMod)
  case packetOut(PacketOut)
}

extension FlowTextParser {
  /// The flows of a file, in its order.
  /// - Parameter command: nil: each line may begin with its command.
  package func flows(file text: String, command: FlowMod.Command? = nil) throws(FlowFileError) -> [ParsedFlow] {
    try lines(text) { line throws(FlowTextError) in try flow(line, command: command) }
  }

  /// The groups of a file.
  /// - Parameter command: nil: each line may begin with its command.
  package func groups(file text: String, command: GroupCommand? = nil) throws(FlowFileError) -> [GroupMod] {
    try lines(text) { line throws(FlowTextError) in try group(line, command: command) }
  }

  /// The changes of a bundle: each line begins with flow, group or packet-out.
  package func bundle(file text: String) throws(FlowFileError) -> [BundleEntry] {
    try lines(text) { line throws(FlowTextError) in try bundleEntry(line) }
  }

  /// One line of a bundle.
  package func bundleEntry(_ text: String) throws(FlowTextError) -> BundleEntry {
    let slice = TextSlice(text)
    let (word, rest) = FlowTextParser.firstWord(slice)
    switch word?.string {
    case "flow":
      let (command, body) = FlowTextParser.commandWord(rest)
      return .flow(try flow(body, command: command ?? .add, isFilter: false))
    case "group":
      let (second, body) = FlowTextParser.firstWord(rest)
      if let command = second.flatMap({ GroupCommand(rawValue: $0.string) }) {
        return .group(try group(body, command: command))
      }
      return .group(try group(rest, command: .add))
    case "packet-out": return .packetOut(try packetOut(rest))
    default:
      throw (word ?? slice).error(
        "\((word ?? slice).quoted) begins no line of a bundle", remedy: "begin it with flow, group or packet-out")
    }
  }

  private func lines<Value>(
    _ text: String, _ parse: (String) throws(FlowTextError) -> Value
  ) throws(FlowFileError) -> [Value] {
    try FlowTextParser.lines(text, parse).map(\.value)
  }

  /// What `parse` makes of each line, with the line's number, from 1, and the line without its comment.
  package static func lines<Value>(
    _ text: String, _ parse: (String) throws(FlowTextError) -> Value
  ) throws(FlowFileError) -> [(value: Value, number: Int, line: String)] {
    var result: [(value: Value, number: Int, line: String)] = []
    var number = 0
    for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      number += 1
      let body = line.prefix { $0 != UInt8(ascii: "#") }
      guard body.contains(where: { !TextSlice.isSpace($0) }), !isTitle(body) else { continue }
      let read = String(decoding: body, as: UTF8.self)
      do throws(FlowTextError) {
        result.append((try parse(read), number, read))
      } catch {
        let whole = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        throw FlowFileError(lineNumber: number, line: String(decoding: whole, as: UTF8.self), error: error)
      }
    }
    return result
  }

  /// `NXST_FLOW reply (xid=0x4):`
  private static func isTitle(_ line: Substring.UTF8View) -> Bool {
    let words = line.split(separator: UInt8(ascii: " "))
    guard words.count > 2, words[1].elementsEqual("reply".utf8) else { return false }
    return words[0].starts(with: "NXST_".utf8) || words[0].starts(with: "OFPST_".utf8)
  }
}
