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
}
