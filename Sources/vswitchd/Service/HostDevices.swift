// Addresses of the devices that NAT networks have on this host: set once the datapath has made them. Calls the kernel; for a thread
// of its own.

import Datapath
import VSwitchCore

enum HostDevices {
  /// Gives a device its addresses and sets it up; addresses that others have given it stay.
  static func configure(_ name: String, _ addresses: [InterfaceAddress]) throws(ConfigError) {
    do throws(LinkError) {
      let links = try LinkService()
      let link = try links.link(named: name)
      let present = Set(try links.addresses(index: link.index).map(\.text))
      for address in addresses where !present.contains(address.description) {
        do throws(LinkError) {
          try links.addAddress(
            LinkAddress(address.description), index: link.index, skippingDuplicateDetection: address.address.isIPv6)
        } catch {
          // Written in another form, or by somebody else in between.
          if error.code != .alreadyExists { throw error }
        }
      }
      try links.setAdminUp(true, index: link.index)
    } catch {
      throw error.configError
    }
  }
}
