// Which CPUs get a worker: `other_config:pmd-cpu-mask`, as Open vSwitch reads it. Pure.

/// CPUs of a mask.
struct WorkerMask: Equatable {
  /// In ascending order.
  var cpus: [Int] = []
  /// What was ignored of it, in words.
  var warning: String?

  /// - Parameters:
  ///   - text: hexadecimal, with or without 0x: bit n is CPU n.
  ///   - cpuCount: CPUs of the machine.
  init(_ text: String, cpuCount: Int) {
    let digits = text.hasPrefix("0x") || text.hasPrefix("0X") ? text.dropFirst(2) : text[...]
    let values = digits.reversed().map(\.hexDigitValue)
    guard !values.isEmpty, values.allSatisfy({ $0 != nil }) else {
      warning =
        "other_config:pmd-cpu-mask is \"\(LogText.escaped(text))\", no hexadecimal number: there is one worker, on any CPU; give a bit for each CPU, as 0x6"
      return
    }
    let all = values.enumerated().flatMap { position, value in
      (0..<4).filter { (value ?? 0) & 1 << $0 != 0 }.map { position * 4 + $0 }
    }
    cpus = all.filter { $0 < cpuCount }
    if let missing = all.first(where: { $0 >= cpuCount }) {
      warning =
        "other_config:pmd-cpu-mask \(LogText.escaped(text)) names CPU \(missing), which is ignored: this machine has 0 to \(cpuCount - 1)"
    }
  }
}
