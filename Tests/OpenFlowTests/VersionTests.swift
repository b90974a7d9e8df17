import OpenFlow
import Testing

@Suite struct VersionTests {
  @Test func aHelloWithoutABitmapMeansAllVersionsUpToItsOwn() {
    #expect(VersionSet(upTo: 1).highest == .v10)
    #expect(VersionSet(upTo: 3).highest == .v10, "1.1 and 1.2 are not spoken")
    #expect(VersionSet(upTo: 4).highest == .v13)
    #expect(VersionSet(upTo: 0x63).highest == .v15)
    #expect(VersionSet(upTo: 0).highest == nil)
    #expect(VersionSet(rawValue: 0x40).highest == .v15)
    #expect(VersionSet([OpenFlowVersion.v10, .v13]).rawValue == 0x12)
  }
}
