// What the database says of connection tracking: timeouts of zones, from the datapaths' `ct_zones`. Pure.

import Datapath
import OVSDB

enum ConntrackSettings {
  /// Timeouts by zone, of those that have a policy; nil seconds of a policy are the standard ones.
  static func timeouts(_ database: DatabaseSnapshot) -> [UInt16: ConnectionTimeouts] {
    guard let root = database.only("Open_vSwitch") else { return [:] }
    var zones: [UInt16: ConnectionTimeouts] = [:]
    // There is one datapath here, whatever type its row is for; the userspace one's word counts last.
    let datapaths = root[OpenVSwitch.Root.datapaths].sorted {
      ($0.key == "netdev" ? 1 : 0) < ($1.key == "netdev" ? 1 : 0)
    }
    for (_, uuid) in datapaths {
      guard let datapath = database.row("Datapath", uuid) else { continue }
      for (number, uuid) in datapath[OpenVSwitch.Datapath.ctZones] {
        guard let zone = UInt16(exactly: number), let row = database.row("CT_Zone", uuid),
          let policy = row[OpenVSwitch.CTZone.timeoutPolicy].flatMap({ database.row("CT_Timeout_Policy", $0) })
        else { continue }
        var timeouts = ConnectionTimeouts()
        for (key, seconds) in policy[OpenVSwitch.CTTimeoutPolicy.timeouts] {
          timeouts.set(key, seconds: UInt32(clamping: seconds))
        }
        zones[zone] = timeouts
      }
    }
    return zones
  }
}
