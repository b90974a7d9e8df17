// A file descriptor with one owner: closed when nobody holds it any more. What a front-end sends is wrapped at once, so
// that a refused message leaves no descriptor behind. Thread: any.

import Glibc

/// A descriptor that is closed with its last reference.
final class OwnedDescriptor: Sendable {
  /// The descriptor's number.
  let number: Int32

  init(_ number: Int32) { self.number = number }
  deinit { close(number) }
}
