// How the addresses in a guest's descriptors become pointers: guest-physical ones by the regions alone; with a virtual IOMMU
// (VIRTIO_F_ACCESS_PLATFORM) I/O virtual ones by the entries that the front-end answers misses with.
// Thread: one worker. Memory: handles only.

/// The address space of a device's descriptors.
struct GuestAddressSpace {
  var memory: GuestMemoryView
  var iotlb: IOTLB?

  init(memory: GuestMemoryView, iotlb: IOTLB? = nil) {
    self.memory = memory
    self.iotlb = iotlb
  }

  /// A pointer to a buffer of which every byte may be used.
  @inline(__always)
  func translate(_ address: UInt64, byteCount: UInt64, writes: Bool) -> UnsafeMutableRawPointer? {
    if let iotlb {
      guard let piece = unsafe iotlb.translatePrefix(address, wanted: byteCount, writes: writes),
        unsafe byteCount <= piece.byteCount, byteCount > 0
      else { return nil }
      return unsafe piece.host
    }
    return unsafe memory.translate(address, byteCount: byteCount)
  }

  /// The same for a buffer that may go on elsewhere.
  func translatePrefix(_ address: UInt64, writes: Bool) -> (host: UnsafeMutableRawPointer, byteCount: UInt64)? {
    if let iotlb { return unsafe iotlb.translatePrefix(address, wanted: 1, writes: writes) }
    return unsafe memory.translatePrefix(address)
  }

  /// The guest-physical address, for the log of changed pages.
  func guestAddress(_ address: UInt64) -> UInt64? {
    guard let iotlb else { return address }
    return iotlb.guestAddress(address)
  }
}
