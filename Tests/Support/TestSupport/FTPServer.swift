// A real FTP server with one file, for tests of what lies between it and its clients.

import Foundation

/// vsftpd at a host, with a file called `file`.
package struct FTPServer {
  package let directory: String
  /// Of the file.
  package let content: String
  package let process: BackgroundCommand

  /// When this returns, it listens.
  /// - Parameter isIPv6: by both IP versions, not by IPv4 alone.
  package init(_ lab: Lab, in host: String, isIPv6: Bool = false) throws {
    directory = "\(lab.directory)/ftp"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    // The server's children may read it.
    try lab.run(["chmod", "755", lab.directory, directory])
    content = (0..<20_000).map { "line \($0)\n" }.joined()
    try content.write(toFile: "\(directory)/file", atomically: true, encoding: .utf8)
    try lab.run(["chmod", "644", "\(directory)/file"])
    let settings = """
      \(isIPv6 ? "listen=NO\nlisten_ipv6=YES" : "listen=YES")
      background=NO
      anonymous_enable=YES
      anon_root=\(directory)
      no_anon_password=YES
      connect_from_port_20=YES
      seccomp_sandbox=NO
      secure_chroot_dir=\(directory)

      """
    try settings.write(toFile: "\(lab.directory)/vsftpd.conf", atomically: true, encoding: .utf8)
    process = try lab.start(["vsftpd", "\(lab.directory)/vsftpd.conf"], in: host)
    let listens = try eventually(.seconds(5)) { try lab.run(["ss", "-Hltn"], in: host).contains(":21 ") }
    guard listens else { throw TestFailure("vsftpd does not listen: \(process.output)\(process.errorOutput)") }
  }
}
