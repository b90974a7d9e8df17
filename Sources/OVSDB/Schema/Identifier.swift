// The words of the protocol (RFC 7047 §3.1, <id>): names of tables, columns, locks and new rows.

enum Identifier {
  /// A letter or underscore, then letters, digits and underscores.
  static func isValid(_ text: String) -> Bool {
    var isFirst = true
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): break
      case UInt8(ascii: "0")...UInt8(ascii: "9") where !isFirst: break
      default: return false
      }
      isFirst = false
    }
    return !isFirst
  }
}
