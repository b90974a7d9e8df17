// TLS for connections that we make, as Open vSwitch's programs have it: key, certificate and the authorities that peers
// are checked by, each in a PEM file. TLS 1.2 or later. A peer proves that an authority of ours knows it; its name is
// not checked, since certificates of Open vSwitch name switches and not hosts (ovs-pki(8)).

import NIOCore
import NIOSSL

/// The files of `--private-key`, `--certificate` and `--ca-cert`.
package struct TLSFiles: Sendable, Equatable {
  package var privateKey: String
  package var certificate: String
  package var authorities: String

  package init(privateKey: String, certificate: String, authorities: String) {
    self.privateKey = privateKey
    self.certificate = certificate
    self.authorities = authorities
  }

  /// - Throws: `TransportError`: a file is missing or wrong.
  package static func clientContext(_ files: TLSFiles?, for endpoint: Endpoint) throws(TransportError) -> NIOSSLContext
  {
    guard let files else {
      throw TransportError("\(endpoint): TLS needs --private-key, --certificate and --ca-cert: give all three")
    }
    return try files.clientContext()
  }

  /// What puts TLS on a new connection of ours; nothing for an endpoint without.
  /// - Throws: `TransportError`: a file is missing or wrong.
  package static func preparation(
    _ files: TLSFiles?, for endpoint: Endpoint
  ) throws(TransportError) -> @Sendable (any Channel) throws -> Void {
    guard endpoint.isTLS else { return { _ in } }
    let context = try clientContext(files, for: endpoint)
    return { channel in
      try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
    }
  }

  /// Read anew for each connection: certificates are renewed while we run.
  /// - Throws: `TransportError`: a file is missing or wrong.
  package func clientContext() throws(TransportError) -> NIOSSLContext {
    let chain: [NIOSSLCertificate] = try Self.read(certificate, "certificate") {
      try NIOSSLCertificate.fromPEMFile(certificate)
    }
    let key = try Self.read(privateKey, "private key") { try NIOSSLPrivateKey(file: privateKey, format: .pem) }
    _ = try Self.read(authorities, "CA certificate") { try NIOSSLCertificate.fromPEMFile(authorities) }
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    configuration.certificateChain = chain.map { .certificate($0) }
    configuration.privateKey = .privateKey(key)
    configuration.trustRoots = .file(authorities)
    configuration.certificateVerification = .noHostnameVerification
    return try Self.read(certificate, "key and certificate") { try NIOSSLContext(configuration: configuration) }
  }

  private static func read<T>(_ path: String, _ what: String, _ body: () throws -> T) throws(TransportError) -> T {
    do {
      return try body()
    } catch {
      throw TransportError("cannot use the \(what) in \(path) (\(error)): name a PEM file that vswitchd may read")
    }
  }
}
