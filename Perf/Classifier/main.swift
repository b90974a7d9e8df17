// Prints what the flow tables cost by shape and size of the rule set, beside a list and plain tuple-space search. One
// thread, processor time: figures to compare within one run.
//   classifier [--sizes 1000,10000] [--shapes acl,routes] [--seed N]

import Glibc
import VSwitchCore

func option(_ name: String) -> String? {
  let arguments = CommandLine.arguments
  guard let index = arguments.firstIndex(of: name), index + 1 < arguments.count else { return nil }
  return arguments[index + 1]
}

/// Processor seconds of a call: what else the machine does counts less.
func seconds(_ body: () -> Void) -> Double {
  func now() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
  let start = now()
  body()
  return now() - start
}

/// Resident memory of this process. Each measurement is a process of its own, so what it grew by is what was asked for.
func residentBytes() -> Int {
  guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
  defer { unsafe fclose(file) }
  var text = [CChar](repeating: 0, count: 128)
  guard unsafe fgets(&text, 128, file) != nil else { return 0 }
  let fields = String(decoding: text.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
  return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
}

func padded(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(0, width - text.count)) + text
}

/// Nanoseconds of a lookup, in short rounds until 0.3 s are over.
func nanoseconds(_ packetCount: Int, _ body: (Int) -> Void) -> Double {
  var done = 0
  var time = 0.0
  while time < 0.3, done < 4_000_000 {
    let start = done % packetCount
    let count = min(50, packetCount - start)
    time += seconds { for i in start..<start + count { body(i) } }
    done += count
  }
  return time / Double(done) * 1e9
}

func measure(_ shape: RuleShape, size: Int, seed: UInt64) {
  var sink: UInt64 = 0
  defer { if sink == 42 { print("") } }  // so that no lookup is left out
  var generator = RuleGenerator(shape, count: size, seed: seed)
  let rules = generator.rules(size)
  let packets = generator.packets(50_000, for: rules)
  let flatPackets = packets.map(flat)

  let before = residentBytes()
  let tables = FlowTables(workerCount: 1, seed: seed)
  let loadTime = seconds {
    for start in stride(from: 0, to: size, by: 1000) {
      let bundle = rules[start..<min(start + 1000, size)].map { TableChange.flow($0) }
      guard (try? tables.apply(bundle: bundle, now: 1)) != nil else { fatalError("a rule was refused") }
      _ = tables.endGracePeriod(tables.beginGracePeriod())
    }
  }
  let bytes = residentBytes() - before

  let reader = tables.reader
  let version = reader.version
  var mask = FlowMask()
  let lookup = nanoseconds(packets.count) { i in
    sink &+= reader.lookup(table: 0, key: packets[i], version: version, mask: &mask)?.cookie ?? 1
  }
  var maskBits = 0
  for packet in packets.prefix(1000) {
    var mask = FlowMask()
    _ = reader.lookup(table: 0, key: packet, version: version, mask: &mask)
    maskBits += mask.bitCount
  }

  var updates = 0
  let updateTime = seconds {
    var generator = Generator(seed: seed)
    while updates < min(2 * size, 40_000) {
      var mod = rules[generator.number(below: size)]
      mod.command = .deleteStrict
      guard (try? tables.apply(mod, now: 1)) != nil else { return }
      mod.command = .add
      guard (try? tables.apply(mod, now: 1)) != nil else { return }
      updates += 2
      if updates % 200 == 0 { _ = tables.endGracePeriod(tables.beginGracePeriod()) }
    }
  }

  // Half a million hash tables of one rule each would take minutes and gigabytes.
  let tuples = shape == .explosion && size > 100_000 ? nil : TupleSpace(rules)
  let tupleLookup = tuples.map { tuples in
    nanoseconds(packets.count) { i in sink &+= tuples.lookup(flatPackets[i]) ?? 1 }
  }
  let list = LinearTable(rules)
  let listLookup = nanoseconds(packets.count) { i in sink &+= list.lookup(flatPackets[i]) ?? 1 }

  func number(_ value: Double, _ width: Int) -> String {
    padded(value < 10 ? String(Double(Int(value * 10)) / 10) : String(Int(value)), width)
  }
  print(
    shape.rawValue.padding(to: 10), padded("\(size)", 7), number(lookup, 9), number(1e3 / lookup, 9),
    number(Double(updates) / updateTime / 1000, 10), number(loadTime / Double(size) * 1e6, 8),
    padded("\(bytes / size)", 7), padded("\(maskBits / 1000)", 6),
    tupleLookup.map { number($0, 11) } ?? padded("-", 11),
    padded(tuples.map { "\($0.tupleCount)" } ?? "-", 8), number(listLookup, 11))
}

extension String {
  func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

let sizes = (option("--sizes") ?? "1000,10000,100000,500000").split(separator: ",").compactMap { Int($0) }
let shapes =
  option("--shapes")?.split(separator: ",").compactMap { RuleShape(rawValue: String($0)) } ?? RuleShape.allCases
let seed = option("--seed").flatMap { UInt64($0) } ?? 1

/// Measures in a process of its own.
func measureApart(_ shape: RuleShape, size: Int) {
  let arguments = ["/proc/self/exe", "--one", "--sizes", "\(size)", "--shapes", shape.rawValue, "--seed", "\(seed)"]
  var pointers: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
  var child: pid_t = 0
  guard unsafe posix_spawn(&child, "/proc/self/exe", nil, nil, &pointers, environ) == 0 else { return }
  var status: Int32 = 0
  _ = unsafe waitpid(child, &status, 0)
}

if CommandLine.arguments.contains("--one") {
  measure(shapes[0], size: sizes[0], seed: seed)
} else {
  print("rules                lookup    lookup     updates     load   bytes   mask  tuple-space         linear list")
  print("                         ns       M/s         k/s  us/rule    rule   bits       ns   tuples           ns")
  fflush(nil)
  for shape in shapes { for size in sizes { measureApart(shape, size: size) } }
}
