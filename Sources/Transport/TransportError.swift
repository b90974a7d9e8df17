// Why a socket could not be had or used.

import Glibc
import NIOCore
import NIOPosix

/// Cause and remedy in one line.
package struct TransportError: Error, Equatable, Sendable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }

  /// A failure of a socket in words.
  package static func reason(_ error: any Error) -> String {
    switch error {
    case let error as IOError: unsafe String(cString: strerror(error.errnoCode))
    // A host may have several addresses: the first one's reason stands for all.
    case let error as NIOConnectionError: error.connectionErrors.first.map { reason($0.error) } ?? "no address"
    default: "\(error)"
    }
  }
}
