// As which program this one was called: its own name, or that of Open vSwitch's `ovs-vsctl`, whose grammar, messages and
// default database it then has, so that what starts that program (libvirt, mininet, scripts) notices no difference.

import Glibc

struct Program: Sendable, Equatable {
  enum Style: Sendable {
    /// Lenient grammar; complaints with cause and remedy.
    case vsctl
    /// ovs-vsctl(8) to the letter.
    case openVSwitch
  }

  /// As called, with its directories: so getopt(3) names a program.
  var path: String
  var style: Style

  /// - Parameter path: the first word of the command line.
  init(path: String) {
    self.path = path
    let name = path.split(separator: "/").last.map(String.init) ?? path
    style = name == "ovs-vsctl" ? .openVSwitch : .vsctl
  }

  static let vsctl = Program(path: "vsctl")
  static let openVSwitch = Program(path: "ovs-vsctl")

  /// What messages begin with.
  var name: String { style == .openVSwitch ? "ovs-vsctl" : "vsctl" }

  /// What `--version` prints. Programs read ovs-vsctl's: the version whose ways this one has.
  var version: String {
    switch style {
    case .vsctl: "vsctl (vswitch) \(VSCtl.version)\nDB Schema 8.3.1"
    case .openVSwitch: "ovs-vsctl (Open vSwitch) 3.1.0\nDB Schema 8.3.1"
    }
  }

  /// The directory of the daemon's sockets if none is asked for.
  var defaultRunDirectory: String {
    switch style {
    case .vsctl: GlobalOptions.environment("VSWITCH_RUNDIR") ?? "/run/vswitch"
    case .openVSwitch: GlobalOptions.environment("OVS_RUNDIR") ?? "/var/run/openvswitch"
    }
  }
}

/// Something that is odd but done: on standard error, before what is printed.
struct Warning: Equatable {
  /// The part of ovs-vsctl that says it.
  var module: String
  var text: String

  /// One line as ovs-vsctl logs it to the console.
  /// - Parameters:
  ///   - number: counts from 1 in one run.
  ///   - seconds: since 1970, UTC.
  func logLine(number: Int, at seconds: Int) -> String {
    var time = time_t(seconds)
    var parts = unsafe tm()
    unsafe gmtime_r(&time, &parts)
    func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let date = unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    let clock = unsafe "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    let digits = String(number)
    return "\(date)T\(clock)Z|"
      + String(repeating: "0", count: max(0, 5 - digits.count)) + "\(digits)|\(module)|WARN|\(text)"
  }
}
