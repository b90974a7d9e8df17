import COFlow
import Foundation
import Glibc
import Testing
import VSwitchCore

@testable import Datapath

@Suite struct LinkNameTests {
  @Test(arguments: ["", ".", "..", "a/b", "a b", "a:b", "sixteen-bytes-xx"])
  func namesTheKernelRefusesAreRefusedWithARemedy(name: String) {
    #expect { try LinkService.checkName(name) } throws: { error in
      guard let error = error as? LinkError else { return false }
      return error.code == .invalidName && !error.remedy.isEmpty && !error.description.contains("\n")
    }
  }

  @Test(arguments: ["../x", "", ".", "..", "a/b"])
  func namespaceNamesDoNotLeadOutOfTheirDirectory(name: String) {
    #expect { try LinkService(.named(name)) } throws: { ($0 as? LinkError)?.code == .invalidName }
  }

  @Test func zeroByteDoesNotCutAName() {
    #expect { try LinkService.checkName("a\u{0}b") } throws: { ($0 as? LinkError)?.code == .invalidName }
    #expect { try LinkService(.named("a\u{0}b")) } throws: { ($0 as? LinkError)?.code == .invalidName }
  }

  @Test func missingNamespaceIsNamedWithARemedy() {
    #expect { try LinkService(.named("vswitch-no-such")) } throws: { error in
      guard let error = error as? LinkError else { return false }
      return error.code == .noSuchNamespace
        && error.description == "namespace vswitch-no-such does not exist: create it first, as with `ip netns add`"
    }
  }

  @Test func loopbackIsFoundByNameAndIndex() throws {
    let service = try LinkService()
    let link = try service.link(named: "lo")
    #expect(link.index == 1)
    #expect(link.mtu > 0)
    #expect(try service.link(index: 1).name == "lo")
    #expect(try service.links().contains { $0.name == "lo" })
  }

  @Test func unknownLinkIsReportedAsSuch() throws {
    let service = try LinkService()
    #expect { try service.link(named: "vsnosuchlink") } throws: { error in
      (error as? LinkError)?.code == .noSuchLink
        && "\(error)".hasPrefix("could not find link vsnosuchlink in the switch's own namespace (No such device)")
    }
    #expect { try service.settings(ofLinkNamed: "vsnosuchlink") } throws: {
      ($0 as? LinkError)?.code == .noSuchLink
    }
    #expect { try service.link(index: Int(Int32.max)) } throws: { ($0 as? LinkError)?.code == .noSuchLink }
    for index in [-1, 0, Int.max] {
      #expect { try service.link(index: index) } throws: { ($0 as? LinkError)?.code == .noSuchLink }
      #expect { try service.setAdminUp(true, index: index) } throws: { ($0 as? LinkError)?.code == .noSuchLink }
    }
  }
}

@Suite(.enabled(if: mayMakeNamespaces, "needs root and /usr/sbin/ip"))
struct LinkServiceTests {
  @Test func pairIsMadeChangedAndDeletedInANamespace() async throws {
    try await withNamespaces { names in
      let service = try LinkService(.named(names[0]))
      try service.createVethPair("left", "right")
      let left = try service.link(named: "left")
      #expect(left.kind == "veth")
      #expect(!left.isAdminUp)
      #expect(left.macAddress != nil)
      let right = try service.link(named: "right")

      let address = MACAddress(bits: 0x0200_0000_0001)
      try service.setMACAddress(address, index: left.index)
      try service.setMTU(9000, index: left.index)
      try service.setAdminUp(true, index: left.index)
      #expect(try !service.link(named: "left").hasCarrier)
      try service.setAdminUp(true, index: right.index)
      let changed = try service.link(index: left.index)
      #expect(changed.macAddress == address)
      #expect(changed.mtu == 9000)
      #expect(changed.isAdminUp && changed.hasCarrier && changed.isOperational)
      try service.setAdminUp(false, index: left.index)
      #expect(try !service.link(index: left.index).isAdminUp)

      try service.rename(index: left.index, to: "west")
      #expect(try service.link(named: "west").index == left.index)
      let settings = try service.settings(ofLinkNamed: "west")
      #expect(settings.driver == "veth")
      #expect(settings.speedMegabitsPerSecond == 10000)
      #expect(settings.isFullDuplex == true)

      #expect { try service.createVethPair("west", "other") } throws: { ($0 as? LinkError)?.code == .alreadyExists }
      #expect { try service.setMTU(1 << 20, index: left.index) } throws: { ($0 as? LinkError)?.code == .invalidValue }
      #expect { try service.setMTU(0, index: left.index) } throws: { ($0 as? LinkError)?.code == .invalidValue }
      try service.delete(index: left.index)
      #expect { try service.link(named: "right") } throws: { ($0 as? LinkError)?.code == .noSuchLink }
    }
  }

  @Test func addressesAreAddedListedAndDeleted() async throws {
    try await withNamespaces { names in
      let service = try LinkService(.named(names[0]))
      try service.createVethPair("left", "right")
      let index = try service.link(named: "left").index
      let four = LinkAddress("192.0.2.1/24")
      let six = LinkAddress("2001:db8::1/64")
      let host = LinkAddress("198.51.100.7/32")
      try service.addAddress(four, index: index)
      try service.addAddress(six, index: index, skippingDuplicateDetection: true)
      try service.addAddress(host, index: index)
      #expect(try Set(service.addresses(index: index)) == [four, six, host])
      #expect { try service.addAddress(four, index: index) } throws: { ($0 as? LinkError)?.code == .alreadyExists }
      try service.deleteAddress(four, index: index)
      #expect(try Set(service.addresses(index: index)) == [six, host])
      #expect { try service.deleteAddress(four, index: index) } throws: { ($0 as? LinkError)?.code == .noSuchAddress }
      for bad in ["", "x", "192.0.2.1/33", "02:00:00:00:00:01", "192.0.2.1\u{0}/24"] {
        #expect { try service.addAddress(LinkAddress(bad), index: index) } throws: {
          ($0 as? LinkError)?.code == .invalidValue
        }
      }
    }
  }

  @Test func movedLinkIsUpInItsNewNamespaceInOneStep() async throws {
    try await withNamespaces(2) { names in
      let first = try LinkService(.named(names[0]))
      let second = try LinkService(.named(names[1]))
      try first.createVethPair("left", "right")
      try first.move(index: first.link(named: "right").index, to: .named(names[1]), settingUp: true, mtu: 1400)
      #expect { try first.link(named: "right") } throws: { ($0 as? LinkError)?.code == .noSuchLink }
      let moved = try second.link(named: "right")
      #expect(moved.isAdminUp)
      #expect(moved.mtu == 1400)

      let descriptor = unsafe open("\(NetworkNamespace.directory)/\(names[0])", O_RDONLY | O_CLOEXEC)
      defer { close(descriptor) }
      try second.move(index: moved.index, to: .descriptor(descriptor))
      #expect(try !first.link(named: "right").isAdminUp)
      #expect(try LinkService(.descriptor(descriptor)).link(named: "right").kind == "veth")
      #expect { try first.move(index: first.link(named: "left").index, to: .named("vswitch-no-such")) } throws: {
        ($0 as? LinkError)?.code == .noSuchNamespace
      }
    }
  }

  @Test func theSocketsOfANamespaceAreOpenedWithoutEnteringIt() async throws {
    try await withNamespaces { names in
      func identity() -> ino_t {
        var status = stat()
        unsafe stat("/proc/thread-self/ns/net", &status)
        return status.st_ino
      }
      let before = identity()
      var opened = try NamespaceBroker.shared.open(in: .named(names[0]))
      #expect(identity() == before)
      let tun = opened.takeTun()
      #expect(tun >= 0)
      defer { close(tun) }
      var name = [CChar](repeating: 0, count: Int(IFNAMSIZ))
      for (position, byte) in "inside".utf8.enumerated() { name[position] = CChar(bitPattern: byte) }
      #expect(unsafe coflow_tap_attach(tun, &name, -1, -1) == 0)
      #expect(try LinkService(.named(names[0])).link(named: "inside").kind == "tun")
      #expect { try LinkService().link(named: "inside") } throws: { ($0 as? LinkError)?.code == .noSuchLink }
      #expect { try LinkService(.path("/etc/hostname")) } throws: { ($0 as? LinkError)?.code == .noSuchNamespace }
    }
  }
}
