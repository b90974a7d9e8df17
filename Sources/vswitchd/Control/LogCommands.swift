// Commands on the log: its levels by module, in the language of ovs-appctl, and its file.

import Logging
import OVSDB
import VSwitchCore

extension ControlCommands {
  var logCommands: [ControlCommand] {
    [
      ControlCommand("vlog/set", "{spec | PATTERN:destination:pattern}", 0...64) { call throws(ControlError) in
        // As Open vSwitch: what stands before a wrong argument holds.
        for argument in call.arguments {
          let setting = try sink.levels.parse(argument)
          sink.change { $0.apply(setting) }
        }
        return call.wantsJSON ? .json([:]) : .text("")
      },
      ControlCommand("vlog/list", "", 0...0) { call throws(ControlError) in
        let listed = sink.levels.listed
        return call.wantsJSON ? .json(LogText.json(listed)) : .text(LogText.list(listed, toFile: sink.path != nil))
      },
      ControlCommand("vlog/reopen", "", 0...0) { call throws(ControlError) in
        do throws(ConfigError) {
          try sink.reopen()
        } catch {
          throw Self.line(error)
        }
        return call.wantsJSON ? .json([:]) : .text("")
      },
    ]
  }
}

extension LogText {
  /// The form of Open vSwitch's `vlog/list`.
  static func list(_ modules: [(module: String, level: Logger.Level?)], toFile: Bool) -> String {
    let head = "                 console    syslog    file\n                 -------    ------    ------\n"
    return head
      + modules.map { module, level in
        let name = LogLevels.name(level)
        return TextTable.padded(module, to: 16) + " " + TextTable.padded(toFile ? "OFF" : name, to: 5, .right)
          + "      " + TextTable.padded("OFF", to: 5, .right) + "      "
          + TextTable.padded(toFile ? name : "OFF", to: 5, .right) + "\n"
      }.joined()
  }

  static func json(_ modules: [(module: String, level: Logger.Level?)]) -> JSONValue {
    .array(
      modules.map { module, level in
        ["module": .string(module), "level": level.map { .string($0.rawValue) } ?? .null]
      })
  }
}
