import Foundation
import Testing

/// Docs/security.md claims only what a test shows.
struct SecurityPageTests {
  @Test func everyTestItNamesExists() throws {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = try String(
      contentsOf: tests.deletingLastPathComponent().appending(path: "Docs/security.md"), encoding: .utf8)
    var sources = ""
    let files = try #require(FileManager.default.enumerator(at: tests, includingPropertiesForKeys: nil))
    for case let file as URL in files where file.pathExtension == "swift" {
      sources += try String(contentsOf: file, encoding: .utf8)
    }
    // `Suite`, or `Suite.test`, or `Target/Suite.test`.
    let names = page.matches(of: /`(?:\w+\/)?(\w+Tests)(?:\.(\w+))?`/)
    #expect(names.count > 20)
    for name in names {
      #expect(sources.contains("struct \(name.1)"), "\(name.0)")
      if let test = name.2 { #expect(sources.contains("func \(test)("), "\(name.0)") }
    }
  }
}
