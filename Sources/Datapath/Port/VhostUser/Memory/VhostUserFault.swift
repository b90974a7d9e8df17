// The rules that a guest or its front-end can break, each with the sentence that the log and `Interface.status` show.
// A broken ring rule stops that queue, a broken protocol rule ends the connection. Pure; any thread.
// Standard: virtio 1.2 §2.7, §2.8; QEMU docs/interop/vhost-user.rst.

/// What a peer did wrong. Raw values fit into a word that the worker leaves for control code.
enum VhostUserFault: UInt8, Error, Equatable, Sendable, CaseIterable, CustomStringConvertible {
  // Rings.
  case availableIndexJumped = 1
  case headOutOfRange
  case nextOutOfRange
  case chainTooLong
  case nestedIndirect
  case indirectNotNegotiated
  case indirectSizeWrong
  case indirectUnreachable
  case descriptorDirectionWrong
  case bufferOutsideMemory
  case headerIncomplete
  case frameTooLong
  case memoryShrunk
  case ringPositionUnknown
  case inflightRecordWrong
  case callBlocks

  // Memory.
  case regionOverflows = 32
  case regionEmpty
  case regionsOverlap
  case regionLargerThanFile
  case regionIsNoMemory
  case regionNotMappable
  case regionUnknown
  case regionCountExceeded
  case guardLimitReached

  // Messages.
  case messageVersionWrong = 64
  case messageTooLong
  case messageSizeWrong
  case messageDescriptorCountWrong
  case messageUnknown
  case messageNotNegotiated
  case messageIsReply
  case messageCutShort
  case queueIndexWrong
  case ringSizeWrong
  case ringPositionWrong
  case ringMisaligned
  case ringOutsideMemory
  case ringStartedTwice
  case ringFlagsWrong
  case featuresNotOffered
  case descriptorIsNoEvent
  case mtuWrong
  case repliesNotRead
  case inflightAreaWrong
  case configReadOnly
  case noTranslation

  var description: String {
    switch self {
    case .availableIndexJumped: "the available index went back or jumped past the ring's size"
    case .headOutOfRange: "an entry of the available ring names a descriptor outside the table"
    case .nextOutOfRange: "a descriptor's next field names a descriptor outside the table"
    case .chainTooLong: "a descriptor chain is a loop, or longer than the ring"
    case .nestedIndirect: "an indirect table is inside another one, or part of a chain that goes on"
    case .indirectNotNegotiated: "an indirect descriptor was used without VIRTIO_F_INDIRECT_DESC"
    case .indirectSizeWrong: "an indirect table's size is no multiple of 16, is 0 or exceeds the ring"
    case .indirectUnreachable: "an indirect table is not inside one region of the guest's memory"
    case .descriptorDirectionWrong: "a descriptor is writable in a transmit queue, or readable in a receive queue"
    case .bufferOutsideMemory: "a buffer is not inside the guest's memory"
    case .headerIncomplete: "a packet's buffers do not hold the virtio header and one byte more"
    case .frameTooLong: "a packet is longer than 64 KB and its headers"
    case .memoryShrunk: "the file of a memory region was made smaller while it was in use"
    case .ringPositionUnknown: "where the packed ring stood cannot be found: reload the driver"
    case .inflightRecordWrong: "the shared record of buffers in flight contradicts itself or the ring"
    case .callBlocks: "the event descriptor of a queue's calls was made to block the switch"
    case .regionOverflows: "address, size or offset of a memory region overflows"
    case .regionEmpty: "a memory region is empty"
    case .regionsOverlap: "two memory regions overlap"
    case .regionLargerThanFile: "a memory region is larger than its file"
    case .regionIsNoMemory: "the descriptor of a memory region is no file of memory"
    case .regionNotMappable: "the system refuses to map a memory region"
    case .regionUnknown: "a memory region to remove does not exist"
    case .regionCountExceeded: "there are more memory regions than slots"
    case .guardLimitReached: "the switch has too many memory regions mapped"
    case .messageVersionWrong: "a message's version is not 1"
    case .messageTooLong: "a message is longer than any that exists"
    case .messageSizeWrong: "a message's size is not that of its kind"
    case .messageDescriptorCountWrong: "a message came with too many or too few file descriptors"
    case .messageUnknown: "a message of an unknown kind"
    case .messageNotNegotiated: "a message of a protocol feature that was not negotiated"
    case .messageIsReply: "a reply came where a request was due"
    case .messageCutShort: "the connection ended inside a message"
    case .queueIndexWrong: "a message names a queue that does not exist"
    case .ringSizeWrong: "a ring's size is 0, above 32768, or no power of two for a split ring"
    case .ringPositionWrong: "a ring's position is outside the ring"
    case .ringMisaligned: "a ring's part is not aligned as virtio wants it"
    case .ringOutsideMemory: "a ring's part is not inside one region of the guest's memory"
    case .ringStartedTwice: "a ring was changed while it runs"
    case .ringFlagsWrong: "unknown flags for a ring"
    case .featuresNotOffered: "a feature was chosen that was not offered"
    case .descriptorIsNoEvent: "a descriptor for events is none"
    case .mtuWrong: "the MTU is outside 68 to 65535"
    case .repliesNotRead: "the front-end does not read its replies"
    case .inflightAreaWrong: "the area for buffers in flight is too small for its queues, or for more than exist"
    case .configReadOnly: "a field of the device's configuration was written that is only to be read"
    case .noTranslation: "an I/O virtual address was told of although no virtual IOMMU was negotiated"
    }
  }
}
