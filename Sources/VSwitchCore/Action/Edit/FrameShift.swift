// Puts 4 bytes (a VLAN tag, a label) into a frame or takes them out, by moving what is in front of them: the shorter part.
// Thread: the worker that has the frame. Memory: lent; putting in needs 4 writable bytes before the frame.

/// Changes of a frame's beginning.
public enum FrameShift {
  /// Puts 4 bytes in before offset `position` of a frame, which begins 4 bytes earlier then.
  /// - Parameters:
  ///   - frame: the frame's first byte; 4 bytes before it are writable.
  ///   - position: at most the frame's length.
  ///   - bytes: host order, the highest byte comes first.
  /// - Returns: the new first byte.
  public static func insert(_ bytes: UInt32, at position: Int, of frame: UnsafeMutableRawPointer)
    -> UnsafeMutableRawPointer
  {
    let start = unsafe frame - 4
    unsafe start.copyMemory(from: frame, byteCount: position)
    unsafe start.storeBytes(of: bytes.bigEndian, toByteOffset: position, as: UInt32.self)
    return unsafe start
  }

  /// Takes the 4 bytes at offset `position` out.
  /// - Parameter position: at most the frame's length less 4.
  /// - Returns: the new first byte.
  public static func remove(at position: Int, of frame: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    let start = unsafe frame + 4
    unsafe start.copyMemory(from: frame, byteCount: position)
    return unsafe start
  }
}
