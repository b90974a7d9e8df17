import Foundation
import Logging
import TestSupport
import Testing

@testable import vswitchd

struct LogLevelsTests {
  private var levels: LogLevels {
    var levels = LogLevels(.info)
    for module in ["reconciler", "ovsdb", "file"] { levels.register(module) }
    return levels
  }

  @Test(arguments: [
    ("dbg", LogLevels.Setting.level(.debug, module: nil)), ("ANY:file:dbg", .level(.debug, module: nil)),
    ("ANY:console:warn", .level(.warning, module: nil)), ("reconciler:err", .level(.error, module: "reconciler")),
    ("info:ovsdb", .level(.info, module: "ovsdb")), ("reconciler", .level(.debug, module: "reconciler")),
    ("ANY", .level(.debug, module: nil)), ("ovsdb,file,off", .level(nil, module: "ovsdb")),
    ("any:any:EMER", .level(.critical, module: nil)), ("trace", .level(.trace, module: nil)),
    ("ANY:syslog:dbg", .nothing), ("PATTERN:syslog:%m", .nothing), ("FACILITY:local3", .nothing),
  ])
  func argumentIsRead(_ text: String, _ setting: LogLevels.Setting) throws {
    #expect(try levels.parse(text) == setting)
  }

  @Test func formOfLinesCannotBeChanged() {
    let error = #expect(throws: ControlError.self) { try levels.parse("PATTERN:file:%m") }
    #expect(error?.text.hasPrefix("the form of log lines is fixed: ") == true)
  }

  @Test func oneModulesLevelLeavesTheOthers() throws {
    var levels = levels
    levels.apply(try levels.parse("reconciler:dbg"))
    #expect(levels["reconciler"] == .debug)
    #expect(levels["ovsdb"] == .info)
    #expect(levels["later"] == .info)
    levels.apply(try levels.parse("ANY:off"))
    #expect(levels["reconciler"] == nil)
    levels.register("later")
    #expect(levels["later"] == nil, "a new module has the level that was last set for all")
  }

  @Test func aModuleThatIsOffIsSilentAndTheOthersAreNot() throws {
    let directory = try TemporaryDirectory()
    let sink = try LogSink(path: directory.path + "/log", level: .info)
    func logger(_ label: String) -> Logger { Logger(label: label) { LineLogHandler(label: $0, sink: sink) } }
    let (quiet, loud) = (logger("quiet"), logger("loud"))
    sink.change { $0.apply(.level(nil, module: "quiet")) }
    sink.change { $0.apply(.level(.debug, module: "loud")) }
    quiet.critical("one")
    loud.debug("two")
    loud.trace("three")
    let text = try String(contentsOfFile: directory.path + "/log", encoding: .utf8)
    #expect(text.hasSuffix("DEBUG loud: two\n"))
    #expect(text.split(separator: "\n").count == 1)
  }

  @Test func listIsInOpenVSwitchsForm() {
    #expect(
      LogText.list([("bridge", .debug), ("ovsdb", nil)], toFile: true)
        == """
                         console    syslog    file
                         -------    ------    ------
        bridge             OFF        OFF        DBG
        ovsdb              OFF        OFF        OFF

        """)
  }
}
