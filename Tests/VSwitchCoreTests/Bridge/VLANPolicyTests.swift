import Testing
import VSwitchCore

/// Each claim is a sentence of table Port, "VLAN Configuration", in ovs-vswitchd.conf.db(5).
@Suite struct VLANPolicyTests {
  private func arrival(_ config: VLANConfig, outer: UInt32, inner: UInt32 = 0) -> (VLANPolicy.Arrival?, DropReason) {
    let policy = VLANPolicy(config)
    defer { policy.deallocate() }
    var reason = DropReason.noOutput
    let arrival = policy.arrival(outer: outer, inner: inner, reason: &reason)
    return (arrival, reason)
  }
  private func departure(_ config: VLANConfig, _ frame: VLANPolicy.Arrival) -> UInt32? {
    let policy = VLANPolicy(config)
    defer { policy.deallocate() }
    return policy.carries(frame) ? policy.departureTag(frame) : nil
  }
  private func config(_ mode: VLANConfig.Mode, tag: UInt16 = 0, trunks: Set<UInt16> = []) -> VLANConfig {
    var config = VLANConfig()
    config.mode = mode
    config.tag = tag
    config.trunks = trunks
    return config
  }
  private func frame(_ vlan: UInt16, priority: UInt16 = 0, inner: UInt16 = 0) -> VLANPolicy.Arrival {
    VLANPolicy.Arrival(vlan: vlan, priority: priority, tagType: 0x8100, ownsTag: true, innerVLAN: inner)
  }

  @Test func accessPortTakesUntaggedAndPriorityTaggedFramesOnly() {
    let access = config(.access, tag: 10)
    #expect(arrival(access, outer: 0).0?.vlan == 10)
    #expect(arrival(access, outer: 0x8100_6000).0?.vlan == 10)
    #expect(arrival(access, outer: 0x8100_6000).0?.priority == 0x6000)
    #expect(arrival(access, outer: 0x8100_000a).1 == .taggedOnAccess)
  }

  @Test func accessPortGivesItsVLANUntagged() {
    let access = config(.access, tag: 10)
    #expect(departure(access, frame(10, priority: 0xe000)) == 0)
    #expect(departure(access, frame(11)) == nil)
    #expect(departure(access, frame(10, inner: 20)) == nil, "a customer's tag must not come out as a VLAN of ours")
  }

  @Test func trunkCarriesItsVLANsTagged() {
    let trunk = config(.trunk, trunks: [10, 20])
    #expect(arrival(trunk, outer: 0x8100_200a).0?.vlan == 10)
    #expect(arrival(trunk, outer: 0x8100_001e).1 == .vlanNotAllowed)
    #expect(arrival(trunk, outer: 0).1 == .vlanNotAllowed, "untagged frames are VLAN 0")
    #expect(departure(trunk, frame(20, priority: 0x2000)) == 0x8100_2014)
    #expect(departure(trunk, frame(30)) == nil)
    #expect(arrival(config(.trunk), outer: 0).0?.vlan == 0)
  }

  @Test func nativePortsPutUntaggedFramesIntoTheNativeVLAN() {
    for mode in [VLANConfig.Mode.nativeTagged, .nativeUntagged] {
      let native = config(mode, tag: 10, trunks: [20])
      #expect(arrival(native, outer: 0).0?.vlan == 10, "the native VLAN needs no place in trunks")
      #expect(arrival(native, outer: 0x8100_0014).0?.vlan == 20)
      #expect(arrival(native, outer: 0x8100_001e).1 == .vlanNotAllowed)
    }
    #expect(departure(config(.nativeTagged, tag: 10), frame(10)) == 0x8100_000a)
    #expect(departure(config(.nativeUntagged, tag: 10), frame(10)) == 0)
    #expect(departure(config(.nativeUntagged, tag: 10), frame(20)) == 0x8100_0014)
  }

  @Test func priorityTagsFollowTheirOption() {
    var access = config(.access, tag: 10)
    access.priorityTags = .ifNonzero
    #expect(departure(access, frame(10, priority: 0)) == 0)
    #expect(departure(access, frame(10, priority: 0x6000)) == 0x8100_6000)
    access.priorityTags = .always
    #expect(departure(access, frame(10, priority: 0)) == 0, "no tag is made for a frame without priority")
    #expect(departure(access, frame(10, priority: 0x6000)) == 0x8100_6000)
  }

  @Test func tunnelWrapsCustomerFramesInItsServiceVLAN() throws {
    var tunnel = config(.dot1qTunnel, tag: 100)
    tunnel.customerVLANs = [5]
    let frame = try #require(arrival(tunnel, outer: 0x8100_0005).0)
    #expect(frame.vlan == 100 && !frame.ownsTag && frame.innerVLAN == 5 && frame.tagType == 0x88a8)
    #expect(arrival(tunnel, outer: 0x8100_0006).1 == .customerVLANNotAllowed)
    #expect(departure(tunnel, frame) == 0)
    #expect(departure(config(.trunk), frame) == 0x88a8_0064)
    var other = frame
    other.innerVLAN = 6
    #expect(departure(tunnel, other) == nil)
  }
}
