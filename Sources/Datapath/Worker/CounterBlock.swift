// The counters of one port in one worker, as plain words that only the worker writes. Control code reads them through
// the worker between two bursts, so that what it sees adds up.

import VSwitchCore

/// Counters of a slot.
struct CounterBlock {
  var receivedPackets: UInt64 = 0
  var receivedBytes: UInt64 = 0
  var receivedMulticastPackets: UInt64 = 0
  var receiveErrors: UInt64 = 0
  var forwardedPackets: UInt64 = 0
  var transmittedPackets: UInt64 = 0
  var transmittedBytes: UInt64 = 0
  var transmitErrors: UInt64 = 0
  var receiveDrops = InlineArray<64, UInt64>(repeating: 0)
  var transmitDrops = InlineArray<64, UInt64>(repeating: 0)

  /// The counters as values.
  var values: PortCounters {
    var values = PortCounters()
    values.receivedPackets = receivedPackets
    values.receivedBytes = receivedBytes
    values.receivedMulticastPackets = receivedMulticastPackets
    values.receiveErrors = receiveErrors
    values.forwardedPackets = forwardedPackets
    values.transmittedPackets = transmittedPackets
    values.transmittedBytes = transmittedBytes
    values.transmitErrors = transmitErrors
    for reason in DropReason.allCases {
      let index = Int(reason.rawValue)
      if receiveDrops[index] != 0 { values.receiveDrops[reason] = receiveDrops[index] }
      if transmitDrops[index] != 0 { values.transmitDrops[reason] = transmitDrops[index] }
    }
    return values
  }
}
