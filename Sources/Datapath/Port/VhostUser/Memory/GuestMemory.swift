// A guest's memory as the switch has it mapped: regions of files that the front-end sent, and the one function that makes
// pointers into them.
//
// Thread: made by control code and never changed afterwards (another table is another object); the worker reads it by its
// handle `GuestMemoryView`. Memory: a mapping lives as long as the regions that share it; the object is released only after
// the worker has let go of every ring over it. Invariants: regions do not overlap, neither in guest nor in user addresses,
// no address + size overflows, none is larger than its file was. A file that is cut short later costs only the port:
// the handler of SIGBUS (COFlow) puts zeroed pages in its place and sets `isShrunk`.
// Standard: QEMU docs/interop/vhost-user.rst, "Memory region description".

import COFlow

/// What the front-end says of a region.
struct GuestRegionDescription: Equatable, Sendable {
  /// First guest-physical address.
  var guestAddress: UInt64
  var byteCount: UInt64
  /// First address in the front-end's own address space, by which it names rings.
  var userAddress: UInt64
  /// Where the region begins in its file.
  var fileOffset: UInt64
}

/// A mapped region. Shared by the tables that contain it.
final class GuestRegion: Sendable {
  let description: GuestRegionDescription
  private let mapping: GuardedMapping

  /// Maps a region; the descriptor is not needed afterwards.
  init(_ description: GuestRegionDescription, file: OwnedDescriptor) throws(VhostUserFault) {
    guard !description.guestAddress.addingReportingOverflow(description.byteCount).overflow,
      !description.userAddress.addingReportingOverflow(description.byteCount).overflow
    else { throw .regionOverflows }
    mapping = try GuardedMapping(file, offset: description.fileOffset, byteCount: description.byteCount)
    self.description = description
  }

  /// Where `guestAddress` is in our address space.
  var host: UnsafeMutableRawPointer { unsafe mapping.host }
  /// The file was cut short while it was in use.
  var isShrunk: Bool { mapping.isShrunk }
  fileprivate var shrunkFlag: UnsafeMutablePointer<UInt32> { unsafe mapping.shrunk }
}

/// A table of regions.
@safe final class GuestMemory: Sendable {
  /// Most regions, and what GET_MAX_MEM_SLOTS answers.
  static let regionLimit = 32

  let regions: [GuestRegion]
  /// For the worker and for whoever translates an address.
  let view: GuestMemoryView

  /// - Throws: `regionsOverlap`, `regionCountExceeded`.
  init(_ regions: [GuestRegion]) throws(VhostUserFault) {
    guard regions.count <= GuestMemory.regionLimit else { throw .regionCountExceeded }
    for (position, a) in regions.enumerated() {
      for b in regions[(position + 1)...] {
        let (a, b) = (a.description, b.description)
        let meetInGuest =
          a.guestAddress < b.guestAddress + b.byteCount && b.guestAddress < a.guestAddress + a.byteCount
        let meetInUser = a.userAddress < b.userAddress + b.byteCount && b.userAddress < a.userAddress + a.byteCount
        guard !meetInGuest, !meetInUser else { throw .regionsOverlap }
      }
    }
    self.regions = regions
    view = GuestMemoryView(regions)
  }

  deinit { view.deallocate() }

  /// The file of some region was cut short.
  var isShrunk: Bool { regions.contains { $0.isShrunk } }

  /// The guest address of a user address, for rings and the front-end's messages.
  func guestAddress(user address: UInt64) -> UInt64? {
    for region in regions {
      let offset = address &- region.description.userAddress
      if address >= region.description.userAddress, offset < region.description.byteCount {
        return region.description.guestAddress + offset
      }
    }
    return nil
  }

  /// The end of the highest region: what a log of changed pages has to reach.
  var guestAddressEnd: UInt64 { regions.map { $0.description.guestAddress + $0.description.byteCount }.max() ?? 0 }
}

/// Handle of a table of regions: copies name the same memory.
@safe struct GuestMemoryView: Sendable {
  @safe struct Entry {
    var start: UInt64
    var byteCount: UInt64
    /// Where `start` is in our address space.
    var host: UnsafeMutableRawPointer
    /// Set by the handler of SIGBUS.
    var shrunk: UnsafeMutablePointer<UInt32>
  }
  private nonisolated(unsafe) let entries: UnsafeMutablePointer<Entry>
  private let count: Int

  fileprivate init(_ regions: [GuestRegion]) {
    count = regions.count
    unsafe entries = .allocate(capacity: max(count, 1))
    // The largest first: most buffers lie there.
    let sorted = regions.sorted { $0.description.byteCount > $1.description.byteCount }
    for (position, region) in sorted.enumerated() {
      unsafe (entries + position).initialize(
        to: Entry(
          start: region.description.guestAddress, byteCount: region.description.byteCount, host: region.host,
          shrunk: region.shrunkFlag))
    }
  }

  fileprivate func deallocate() { unsafe entries.deallocate() }

  /// The one way from a guest's address to a pointer: both ends are inside one region.
  /// - Returns: nil if some byte is outside, or if there are none.
  @inline(__always)
  func translate(_ address: UInt64, byteCount: UInt64) -> UnsafeMutableRawPointer? {
    var position = 0
    while position < count {
      let entry = unsafe entries + position
      // Wraps to something large for addresses below the region.
      let offset = unsafe address &- entry.pointee.start
      if unsafe offset < entry.pointee.byteCount, unsafe byteCount &- 1 < entry.pointee.byteCount &- offset {
        return unsafe entry.pointee.host + Int(truncatingIfNeeded: offset)
      }
      position &+= 1
    }
    return nil
  }

  /// The same for a buffer that may go on in the next region.
  /// - Returns: the pointer and for how many bytes it holds; nil if the first byte is outside.
  func translatePrefix(_ address: UInt64) -> (host: UnsafeMutableRawPointer, byteCount: UInt64)? {
    for position in 0..<count {
      let entry = unsafe entries[position]
      let offset = address &- entry.start
      if offset < entry.byteCount {
        return unsafe (entry.host + Int(truncatingIfNeeded: offset), entry.byteCount &- offset)
      }
    }
    return nil
  }

  /// The file of some region was cut short.
  @inline(__always)
  var isShrunk: Bool {
    var flags: UInt32 = 0
    for position in 0..<count { unsafe flags |= coflow_load_32(entries[position].shrunk) }
    return flags != 0
  }
}
