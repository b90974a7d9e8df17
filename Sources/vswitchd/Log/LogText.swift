// Text for one log line. Names and values may come from clients and the wire: nothing in them may end the line,
// move a terminal's cursor or reorder what is read. Pure.

/// Makes foreign text safe to print.
enum LogText {
  /// Characters of a message or value that are kept; the rest is cut and marked.
  static let characterLimit = 2048

  /// The text with control characters, line separators and direction marks as `\u{…}`, cut to the limit.
  static func escaped(_ text: String) -> String {
    if text.utf8.count <= characterLimit, text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f && $0 != 0x5c }) {
      return text
    }
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
      if count == characterLimit {
        result += "[cut]"
        break
      }
      count += 1
      switch scalar {
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\\": result += "\\\\"
      case _ where isHarmless(scalar): result.unicodeScalars.append(scalar)
      default: result += "\\u{" + String(scalar.value, radix: 16) + "}"
      }
    }
    return result
  }

  /// As `escaped`, in quotes where spaces or quotes would make the end of the value unclear.
  static func value(_ text: String) -> String {
    let escaped = escaped(text)
    if !escaped.isEmpty, escaped.utf8.allSatisfy({ $0 != 0x20 && $0 != 0x22 && $0 != 0x3d }) { return escaped }
    return "\"" + escaped.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"") + "\""
  }

  private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    // Control (C0, C1, DEL), format (bidirectional overrides, zero width), line and paragraph separators.
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
    default: true
    }
  }

  /// `2026-11-24T03:44:26.123Z`
  /// - Parameter millisecondsSince1970: time of the wall clock, UTC.
  static func timestamp(millisecondsSince1970: Int64) -> String {
    let (seconds, milliseconds) = millisecondsSince1970.quotientAndRemainder(dividingBy: 1000)
    let (days, secondOfDay) = seconds.quotientAndRemainder(dividingBy: 86_400)
    let date = civilDate(daysSince1970: days)
    func padded(_ value: Int64, _ width: Int) -> String {
      let digits = String(value)
      return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
    return padded(date.year, 4) + "-" + padded(date.month, 2) + "-" + padded(date.day, 2) + "T"
      + padded(secondOfDay / 3600, 2) + ":" + padded(secondOfDay / 60 % 60, 2) + ":" + padded(secondOfDay % 60, 2)
      + "." + padded(milliseconds, 3) + "Z"
  }

  /// Gregorian date of a day; the year is counted from March, so that the leap day is the last of its year.
  private static func civilDate(daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = daysSince1970 + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }
}
