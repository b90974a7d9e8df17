import TestSupport
import Testing
import VSwitchCore

/// What instructions a rule may have.
@Suite struct InstructionValidatorTests {
  private let tables = FlowTables(workerCount: 1, seed: 7)

  private func error(_ actions: [Action], _ fields: [(Field, UInt128)] = []) -> TableError? {
    error(Instructions(apply: actions), fields)
  }

  private func error(_ instructions: Instructions, _ fields: [(Field, UInt128)] = [], table: UInt8 = 0) -> TableError? {
    var mod = FlowMod()
    mod.table = table
    for (field, value) in fields { mod.match.set(field, value) }
    mod.instructions = instructions
    do throws(TableError) {
      try tables.apply(mod, now: 1)
    } catch {
      #expect(!error.description.isEmpty)
      return error
    }
    return nil
  }

  private let ip: [(Field, UInt128)] = [(.etherType, 0x0800)]

  @Test func outputsAreToPortsAndReservedPortsThatTakePackets() {
    for port in [PortNumber(0), PortNumber(999), .inPort, .normal, .flood, .all, .controller, .local, .table] {
      #expect(error([.output(port, maximumByteCount: 0)]) == nil)
    }
    for port in [PortNumber.any, .unset, PortNumber(0xffff_ff01)] {
      #expect(error([.output(port, maximumByteCount: 0)]) == .badOutPort(port))
      #expect(error([.popQueue, .output(port, maximumByteCount: 0)]) == .badOutPort(port))
    }
    #expect(error([.enqueue(.normal, queue: 1)]) == .badOutPort(.normal))
  }

  @Test func gotoLeadsToALaterTable() {
    var instructions = Instructions()
    for next in [UInt8(0), 3, 254, 255] {
      instructions.gotoTable = next
      #expect(error(instructions, table: 3) == .badGotoTable(next))
    }
    instructions.gotoTable = 253
    #expect(error(instructions, table: 3) == nil)
  }

  @Test func groupsAndMetersHaveToBeThere() {
    #expect(error([.group(5)]) == .unknownGroup(5))
    #expect(error([.clone([.group(5)])]) == .unknownGroup(5))
    #expect(error([.meter(5)]) == .unknownMeter(5))
    var instructions = Instructions()
    instructions.meter = 6
    #expect(error(instructions) == .unknownMeter(6))
    instructions = Instructions()
    instructions.write = [.group(7)]
    #expect(error(instructions) == .unknownGroup(7))
  }

  @Test func fieldsAreWrittenOnlyWherePacketsHaveThem() {
    #expect(error([.setField(.ipv4Source, value: 1, mask: 0xffff_ffff)], ip) == nil)
    #expect(error([.setField(.ipv4Source, value: 1, mask: 0xffff_ffff)]) == .inconsistentMatch("Setting ip_src"))
    #expect(error([.setField(.tcpSource, value: 1, mask: 0xffff)], ip) == .inconsistentMatch("Setting tcp_src"))
    #expect(error([.setField(.tcpSource, value: 1, mask: 0xffff)], ip + [(.ipProtocol, 6)]) == nil)
    #expect(error([.setField(.etherType, value: 1, mask: 0xffff)]) == .badSetField(.etherType))
    #expect(error([.setField(.ipDSCP, value: 0x7f, mask: 0x3f)], ip) == .badSetValue(.ipDSCP))
    #expect(error([.move(from: Subfield(.tcpSource), to: Subfield(.reg0))], ip) != nil)
    #expect(error([.setTTL(3)]) != nil)
    #expect(error([.decrementTTL(controllers: [0])], ip) == nil)
  }

  @Test func actionsSeeWhatThoseBeforeThemDid() {
    let setVID = Action.setField(.vlanID, value: 0x1005, mask: 0x1fff)
    #expect(error([setVID]) != nil, "there may be no tag")
    #expect(error([.pushVLAN(etherType: 0x8100), setVID]) == nil)
    #expect(error([.popVLAN]) != nil)
    #expect(error([.pushVLAN(etherType: 0x8100), .popVLAN]) == nil)
    #expect(error([.pushVLAN(etherType: 0x1234)]) != nil)
    #expect(error([.pushMPLS(etherType: 0x8847), .setField(.mplsLabel, value: 5, mask: 0xfffff)], ip) == nil)
    #expect(error([.pushMPLS(etherType: 0x8847), .setTTL(5)], ip) != nil, "the IP header is behind the label now")
    #expect(error([.popMPLS(etherType: 0x0800)], ip) != nil)
    #expect(error([.popMPLS(etherType: 0x0800), .setTTL(5)], [(.etherType, 0x8847)]) == nil)
    #expect(error([.clone([.pushVLAN(etherType: 0x8100)]), .popVLAN]) != nil, "a clone's tag is the clone's")
  }

  @Test func conjunctionsStandAlone() {
    let clause = Action.conjunction(id: 1, clause: 0, clauseCount: 2)
    #expect(error([clause, .note([1])]) == nil)
    #expect(error([clause, .output(.normal, maximumByteCount: 0)]) == .badConjunction)
    #expect(error([.conjunction(id: 1, clause: 2, clauseCount: 2)]) == .badConjunction)
    #expect(error([.conjunction(id: 1, clause: 0, clauseCount: 1)]) == .badConjunction)
  }
}
