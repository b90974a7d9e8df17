// Why a frame with checksum or segmentation metadata can't be sent. Thread: a value; any.

/// A frame's offload metadata contradicts the frame, or asks for what the switch refuses. Each is a drop reason.
public enum OffloadFault: UInt8, CaseIterable, Error, Sendable, CustomStringConvertible {
  case frameTooShort
  case checksumOutsideFrame
  case checksumOutsideTransport
  case checksumOfFragment
  case headerLengthWrong
  case segmentSizeWrong
  case segmentTypeUnknown
  case segmentTypeMismatch
  case segmentOfFragment
  case segmentFlagsWrong
  case segmentTooLarge
  case segmentCountExceeded
  case pseudoHeaderUnknown

  /// One plain sentence for the operator.
  public var description: String {
    switch self {
    case .frameTooShort:
      "The frame ends before the headers that its offload metadata speaks of."
    case .checksumOutsideFrame:
      "The sender asks for a checksum beyond the end of the frame."
    case .checksumOutsideTransport:
      "The sender asks for a checksum at a place that is no transport header's checksum field."
    case .checksumOfFragment:
      "The sender asks for a transport checksum of an IP fragment, which does not hold the whole datagram."
    case .headerLengthWrong:
      "The header length that the sender gives, or an IP or TCP length, does not fit the frame."
    case .segmentSizeWrong:
      "The sender asks for segmentation with segments of 0 bytes."
    case .segmentTypeUnknown:
      "The sender asks for a kind of segmentation that virtio does not define."
    case .segmentTypeMismatch:
      "The sender asks for a kind of segmentation that the frame's headers are not of."
    case .segmentOfFragment:
      "The sender asks for segmentation of an IP fragment."
    case .segmentFlagsWrong:
      "The sender asks for segmentation of a TCP segment with SYN or RST set."
    case .segmentTooLarge:
      "A segment with its headers would be longer than an IP packet or the exit port's buffer can be."
    case .segmentCountExceeded:
      "The sender asks for more segments out of one frame than the switch cuts."
    case .pseudoHeaderUnknown:
      "The frame's checksum rests on a source route or option, and the sender left no partial checksum to go by."
    }
  }
}

/// What is to be done with a frame before its exit port may have it.
public enum OffloadVerdict: Equatable, Sendable {
  /// Send frame and metadata as they are.
  case passThrough
  /// Call `finishChecksum`, then send.
  case finishChecksum
  /// Cut with `Segmenter`, or for UFO with `Fragmenter`, and send each piece with empty metadata.
  case segment
  case drop(OffloadFault)
}
