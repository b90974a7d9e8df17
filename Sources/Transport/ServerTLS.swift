// TLS for those who come to us and whom the database has us connect to, as its table SSL says: key, certificate, and the authority by which every
// peer is checked; a peer without a certificate of that authority is refused. TLS 1.2 or later. The files are looked
// at again for every connection, so that renewed ones count at once. Any thread: the context in use is behind a mutex.

import NIOSSL
import Synchronization

/// Key, certificate and authority of the switch, from files below one directory.
package final class ServerTLS: Sendable {
  private let directory: ConfinedDirectory
  /// Private key, certificate, CA certificate.
  private let names: [String]
  private let cache = Mutex<Cached?>(nil)

  private struct Cached {
    var states: [ConfinedDirectory.FileState]
    var context: NIOSSLContext
  }

  package init(privateKey: String, certificate: String, authorities: String, in directory: ConfinedDirectory) {
    names = [privateKey, certificate, authorities]
    self.directory = directory
  }

  /// - Throws: `TransportError`: a file is missing or wrong; cause and remedy in one line.
  package func context() throws(TransportError) -> NIOSSLContext {
    var states: [ConfinedDirectory.FileState] = []
    for name in names { states.append(try directory.state(of: name)) }
    if let cached = cache.withLock({ $0 }), cached.states == states { return cached.context }
    var files: [(bytes: [UInt8], state: ConfinedDirectory.FileState)] = []
    for name in names { files.append(try directory.read(name)) }
    let context = try makeContext(files.map(\.bytes))
    cache.withLock { $0 = Cached(states: files.map(\.state), context: context) }
    return context
  }

  private func makeContext(_ files: [[UInt8]]) throws(TransportError) -> NIOSSLContext {
    let key = try use("private key", names[0]) { try NIOSSLPrivateKey(bytes: files[0], format: .pem) }
    let chain = try use("certificate", names[1]) { try NIOSSLCertificate.fromPEMBytes(files[1]) }
    let authorities = try use("CA certificate", names[2]) { try NIOSSLCertificate.fromPEMBytes(files[2]) }
    guard !authorities.isEmpty else {
      throw TransportError("\(names[2]) holds no certificate: name the PEM file of the authority of our peers")
    }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv12
    configuration.trustRoots = .certificates(authorities)
    // A peer must have a certificate; its name says nothing (ovs-pki(8)).
    configuration.certificateVerification = .noHostnameVerification
    return try use("certificate and key", names[1]) { try NIOSSLContext(configuration: configuration) }
  }

  private func use<T>(_ what: String, _ name: String, _ body: () throws -> T) throws(TransportError) -> T {
    do {
      return try body()
    } catch {
      throw TransportError("cannot use the \(what) in \(name) (\(error)): give a PEM file that belongs to the others")
    }
  }
}
