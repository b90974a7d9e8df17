import Logging
import Testing

@testable import vswitchd

struct LogTextTests {
  @Test func newlineAndEscapeCannotLeaveTheirLine() {
    let line = LineLogHandler.line(
      level: .warning, label: "reconciler", message: "port \u{1b}[31mred\nFAKE line",
      metadata: ["port": "a\r\nb", "reason": "say \"x\" = y"])
    #expect(
      line
        == "WARNING reconciler: port \\u{1b}[31mred\\nFAKE line port=a\\r\\nb reason=\"say \\\"x\\\" = y\"")
    #expect(line.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f })
  }

  @Test(arguments: ["\u{7f}", "\u{85}", "\u{9b}31m", "\u{2028}", "\u{202e}", "\u{200b}", "\u{feff}", "\0"])
  func invisibleCharactersAreSpelled(_ text: String) {
    #expect(LogText.escaped("a" + text).hasPrefix("a\\u{"))
  }

  @Test func plainAndForeignLettersStay() {
    #expect(LogText.escaped("tap0: Größe 12 µs") == "tap0: Größe 12 µs")
    #expect(LogText.escaped("C:\\n") == "C:\\\\n", "a backslash is doubled, so that no text imitates an escape")
    #expect(LogText.value("tap0") == "tap0")
    #expect(LogText.value("") == "\"\"")
  }

  @Test func longTextIsCutAndSaysSo() {
    let text = LogText.escaped(String(repeating: "x", count: 1_000_000))
    #expect(text.count == LogText.characterLimit + "[cut]".count)
    #expect(text.hasSuffix("[cut]"))
  }

  @Test(arguments: [
    (Int64(0), "1970-01-01T00:00:00.000Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    (1_795_492_799_999, "2026-11-24T03:59:59.999Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
  ])
  func timeIsUTC(_ milliseconds: Int64, _ text: String) {
    #expect(LogText.timestamp(millisecondsSince1970: milliseconds) == text)
  }
}

struct LogRateLimitTests {
  private let site = LogRateLimit.Site(file: "a", line: 1)

  @Test func floodKeepsItsBurstAndIsCounted() {
    var limit = LogRateLimit(burst: 3, linesPerMinute: 60)
    let admitted = (0..<100).compactMap { _ in limit.admit(site, nowMilliseconds: 0) }
    #expect(admitted == [0, 0, 0])
    #expect(limit.admit(site, nowMilliseconds: 1000) == 97, "the next line tells how many were left out")
    #expect(limit.admit(site, nowMilliseconds: 1000) == nil)
  }

  @Test func onePlaceDoesNotSilenceAnother() {
    var limit = LogRateLimit(burst: 1, linesPerMinute: 1)
    #expect(limit.admit(site, nowMilliseconds: 0) == 0)
    #expect(limit.admit(site, nowMilliseconds: 0) == nil)
    #expect(limit.admit(.init(file: "a", line: 2), nowMilliseconds: 0) == 0)
  }

  @Test func clockThatJumpsNeitherTrapsNorBlocks() {
    var limit = LogRateLimit(burst: 1, linesPerMinute: 60)
    #expect(limit.admit(site, nowMilliseconds: .max) == 0)
    #expect(limit.admit(site, nowMilliseconds: 0) == nil)
    #expect(limit.admit(.init(file: "b", line: 1), nowMilliseconds: 0) == 0)
    #expect(limit.admit(.init(file: "b", line: 1), nowMilliseconds: .max) == 0)
  }
}
