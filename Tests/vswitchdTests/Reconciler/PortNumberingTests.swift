import TestSupport
import Testing

@testable import vswitchd

struct PortNumberingTests {
  private typealias Wish = PortNumbering.Wish

  private func wish(_ port: String, request: UInt16? = nil, previous: UInt16? = nil) -> Wish {
    Wish(port: port, isLocal: false, request: request, previous: previous)
  }

  @Test func bridgesOwnPortHasTheLocalNumber() {
    var numbering = PortNumbering()
    let numbers = numbering.assign(
      bridge: "br0", [Wish(port: "br0", isLocal: true, request: 5, previous: 7), wish("a")])
    #expect(numbers == ["br0": 65534, "a": 1])
  }

  @Test func numbersStayOverRestart() {
    var numbering = PortNumbering()
    let numbers = numbering.assign(bridge: "br0", [wish("a", previous: 7), wish("b", previous: 3), wish("c")])
    #expect(numbers == ["a": 7, "b": 3, "c": 1])
  }

  @Test func freeRequestIsHonouredAndTakenOneIsNot() {
    var numbering = PortNumbering()
    #expect(numbering.assign(bridge: "br0", [wish("a"), wish("b", request: 7)]) == ["a": 1, "b": 7])
    let numbers = numbering.assign(
      bridge: "br0", [wish("a", request: 7), wish("b", request: 7), wish("c", request: 1)])
    #expect(numbers == ["a": 1, "b": 7, "c": 2], "a keeps its number, since 7 is taken; so c cannot have 1")
  }

  @Test func newRequestMovesARunningPort() {
    var numbering = PortNumbering()
    #expect(numbering.assign(bridge: "br0", [wish("a")]) == ["a": 1])
    #expect(numbering.assign(bridge: "br0", [wish("a", request: 40, previous: 1)]) == ["a": 40])
    #expect(numbering.assign(bridge: "br0", [wish("a", previous: 40)]) == ["a": 40])
  }

  @Test func removedPortsNumberIsNotGivenAwayAtOnce() {
    var numbering = PortNumbering()
    #expect(numbering.assign(bridge: "br0", [wish("a"), wish("b")]) == ["a": 1, "b": 2])
    #expect(numbering.assign(bridge: "br0", [wish("a")]) == ["a": 1])
    #expect(numbering.assign(bridge: "br0", [wish("a"), wish("c")]) == ["a": 1, "c": 3])
  }

  @Test func numbersOfBridgesAreIndependentAndForgottenWithThem() {
    var numbering = PortNumbering()
    #expect(numbering.assign(bridge: "br0", [wish("a")]) == ["a": 1])
    #expect(numbering.assign(bridge: "br1", [wish("b")]) == ["b": 1])
    numbering.keep(bridges: ["br1"])
    #expect(numbering.assign(bridge: "br0", [wish("z"), wish("a")]) == ["a": 1, "z": 2])
  }

  @Test(arguments: [UInt16(0), 65280, 65534, 65535])
  func numberOutsideTheRangeIsNotTakenOver(_ previous: UInt16) {
    var numbering = PortNumbering()
    #expect(numbering.assign(bridge: "br0", [wish("a", previous: previous)]) == ["a": 1])
  }

  @Test func fullBridgeLeavesTheLastPortsWithoutNumber() {
    var numbering = PortNumbering()
    let wishes = (0..<65_281).map { wish("p\(100_000 + $0)") }
    let numbers = numbering.assign(bridge: "br0", wishes)
    #expect(numbers.count == 65_279)
    #expect(Set(numbers.values).count == 65_279)
    #expect(numbering.assign(bridge: "br0", wishes) == numbers)
  }

  /// Random ports come, go and ask: numbers of those alone are as if all had been asked anew.
  @Test(arguments: testSeeds(20)) func changesGiveWhatAssigningAllGives(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var changing = PortNumbering()
    var ports: [String: Wish] = [:]
    var local = "x"
    _ = changing.assign(bridge: "br0", [])
    var changeCount = 0
    for _ in 0..<400 {
      let before = ports
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let name = "p\(Int.random(in: 0..<12, using: &random))"
        if Int.random(in: 0..<3, using: &random) == 0 {
          ports[name] = nil
        } else {
          let request: UInt16? =
            Int.random(in: 0..<4, using: &random) == 0 ? UInt16.random(in: 0...14, using: &random) : nil
          let previous: UInt16? =
            Int.random(in: 0..<6, using: &random) == 0 ? UInt16.random(in: 0...14, using: &random) : nil
          if Int.random(in: 0..<20, using: &random) == 0 { local = name }
          ports[name] = Wish(port: name, isLocal: false, request: request, previous: previous)
        }
      }
      for name in ports.keys { ports[name]?.isLocal = name == local }
      let gone = before.keys.filter { ports[$0] == nil }
      let changed = ports.values.filter { before[$0.port] != $0 }
      var whole = changing
      let all = whole.assign(bridge: "br0", Array(ports.values))
      let untouched = changing
      if let numbers = changing.change(bridge: "br0", gone: gone, changed) {
        changeCount += 1
        #expect(changing == whole)
        for wish in changed { #expect(numbers[wish.port] == all[wish.port]) }
      } else {
        #expect(changing == untouched)
        changing = whole
      }
    }
    #expect(changeCount > 100)
  }
}
