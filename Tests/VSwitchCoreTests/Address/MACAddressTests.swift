import Testing
import VSwitchCore

@Suite struct MACAddressTests {
  @Test func textGoesBothWays() {
    #expect(MACAddress("02:00:0a:ff:01:7e")?.bits == 0x0200_0aff_017e)
    #expect(MACAddress("02:00:0a:ff:01:7e")?.description == "02:00:0a:ff:01:7e")
  }

  @Test(arguments: [
    "", "02:00:0a:ff:01", "02:00:0a:ff:01:7e:00", "02:00:0a:ff:01:1000", "g2:00:0a:ff:01:7e", "+2:00:0a:ff:01:7e",
  ])
  func otherTextIsRefused(text: String) { #expect(MACAddress(text) == nil) }

  @Test func reservedMulticastIsSixteenAddresses() {
    #expect(MACAddress(bits: 0x0180_c200_000e).isReservedMulticast)
    #expect(!MACAddress(bits: 0x0180_c200_0010).isReservedMulticast)
    #expect(!MACAddress.broadcast.isReservedMulticast)
  }
}
