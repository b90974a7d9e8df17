// Capture files (libpcap) for pcap ports: a reader, a writer, and the one directory where both may be.
//
// Thread: one at a time; the port's. Memory: libpcap's own buffers; frames are copied out. A file's name comes from the
// database: it is resolved below the capture directory, component by component, following no symbolic link.
// Standard: pcap-savefile(5); nanosecond timestamps.

import CPcap
import Glibc
import VSwitchCore

/// Where capture files may be.
package struct CaptureDirectory: Sendable {
  package let path: String

  /// - Parameter path: absolute, trusted.
  package init(_ path: String) { self.path = path }

  /// Opens a regular file below the directory.
  /// - Parameter name: relative, or absolute with the directory in front.
  fileprivate func open(_ name: String, flags: Int32) throws(ConfigError) -> Int32 {
    var relative = Substring(name)
    let prefix = path.hasSuffix("/") ? path : path + "/"
    if relative.hasPrefix("/") {
      guard relative.hasPrefix(prefix) else { throw outside(name) }
      relative = relative.dropFirst(prefix.count)
    }
    let components = relative.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard !components.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." || $0.utf8.contains(0) }) else {
      throw outside(name)
    }
    var directory = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw failure("open directory \(path)", errno) }
    for component in components.dropLast() {
      let next = unsafe openat(directory, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      let error = errno
      close(directory)
      guard next >= 0 else { throw failure("open capture file \(name)", error) }
      directory = next
    }
    // Not to wait for the other end of a named pipe before it is seen to be one.
    let file = unsafe openat(
      directory, components.last ?? "", flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0o600)
    let error = errno
    close(directory)
    guard file >= 0 else { throw failure("open capture file \(name)", error) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_nlink <= 1 else {
      close(file)
      throw ConfigError(cause: "capture file \(name) is no plain file", remedy: "give the name of one in \(path)")
    }
    return file
  }

  private func outside(_ name: String) -> ConfigError {
    ConfigError(
      cause: "capture file \(name.debugDescription) is not below \(path)", remedy: "give a name inside that directory")
  }

  private func failure(_ action: String, _ errno: Int32) -> ConfigError {
    let remedy =
      switch errno {
      case ENOENT: "create it, or check the name"
      case ELOOP: "give a file itself, symbolic links are not followed"
      case EACCES, EPERM, EROFS: "give the switch permission to it"
      case ENOSPC, EDQUOT: "free space on the disk"
      default: "check the file and its directory"
      }
    return ConfigError(cause: "could not \(action) (\(systemText(errno)))", remedy: remedy)
  }
}

/// Reads the frames of an Ethernet capture (pcap or pcapng).
@safe package struct CaptureReader: ~Copyable {
  private let capture: OpaquePointer
  private let name: String
  /// When the last frame was captured, nanoseconds since 1970.
  package private(set) var timestampNanoseconds: UInt64 = 0
  /// Frames left out: captured in part only, or longer than the buffer.
  package private(set) var skippedFrameCount: UInt64 = 0
  /// Why reading ended before the end of the file.
  package private(set) var failure: ConfigError?

  package init(_ name: String, in directory: CaptureDirectory) throws(ConfigError) {
    let descriptor = try directory.open(name, flags: O_RDONLY)
    guard let file = unsafe fdopen(descriptor, "r") else {
      close(descriptor)
      throw ConfigError(cause: "could not open capture file \(name)", remedy: "free memory")
    }
    var reason = ""
    let opened = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PCAP_ERRBUF_SIZE)) { text in
      unsafe text.initialize(repeating: 0)
      let opened = unsafe pcap_fopen_offline_with_tstamp_precision(
        file, UInt32(PCAP_TSTAMP_PRECISION_NANO), text.baseAddress)
      if unsafe opened == nil, let base = text.baseAddress { reason = unsafe String(cString: base) }
      return unsafe opened
    }
    guard let capture = unsafe opened else {
      unsafe fclose(file)
      throw ConfigError(
        cause: "\(name) is no capture file (\(reason))", remedy: "give a file that tcpdump or Wireshark has written")
    }
    let linkType = unsafe pcap_datalink(capture)
    guard linkType == DLT_EN10MB else {
      let linkName = unsafe pcap_datalink_val_to_name(linkType).map { unsafe String(cString: $0) } ?? "\(linkType)"
      unsafe pcap_close(capture)
      throw ConfigError(
        cause: "capture file \(name) has link type \(linkName), not Ethernet",
        remedy: "capture on an Ethernet interface (not on \"any\")")
    }
    unsafe self.capture = capture
    self.name = name
  }

  deinit { unsafe pcap_close(capture) }

  /// Copies the next whole frame into `buffer`.
  /// - Returns: its byte count; nil at the end, or for good if the file is broken (`failure`).
  package mutating func next(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
    while failure == nil {
      var header: UnsafeMutablePointer<pcap_pkthdr>?
      var data: UnsafePointer<UInt8>?
      let result = unsafe pcap_next_ex(capture, &header, &data)
      if result == PCAP_ERROR_BREAK { return nil }
      guard result == 1, let header = unsafe header?.pointee, let data = unsafe data else {
        let reason = unsafe String(cString: pcap_geterr(capture))
        failure = ConfigError(
          cause: "capture file \(name) is broken (\(reason))", remedy: "repair it, or give another")
        return nil
      }
      let byteCount = Int(header.caplen)
      guard header.caplen == header.len, byteCount <= buffer.count, let base = buffer.baseAddress else {
        skippedFrameCount &+= 1
        continue
      }
      timestampNanoseconds =
        UInt64(truncatingIfNeeded: header.ts.tv_sec) &* 1_000_000_000
        &+ UInt64(truncatingIfNeeded: header.ts.tv_usec)
      unsafe base.copyMemory(from: data, byteCount: byteCount)
      return byteCount
    }
    return nil
  }
}

/// Writes frames into a new capture file (mode 0600), up to a limit.
@safe package struct CaptureWriter: ~Copyable {
  private let capture: OpaquePointer
  private let dumper: OpaquePointer
  private let name: String
  private let byteLimit: Int
  /// Bytes of the file, with what is still buffered.
  package private(set) var byteCount: Int
  /// Why nothing more is written: the limit or the disk.
  package private(set) var failure: ConfigError?

  static var fileHeaderByteCount: Int { 24 }
  static var recordHeaderByteCount: Int { 16 }
  /// Bytes of a frame that are kept at most.
  static var snapshotByteCount: Int { 262_144 }

  /// Replaces a file of that name.
  /// - Parameter byteLimit: what the file may grow to.
  package init(_ name: String, in directory: CaptureDirectory, byteLimit: Int) throws(ConfigError) {
    let descriptor = try directory.open(name, flags: O_WRONLY | O_CREAT)
    guard ftruncate(descriptor, 0) == 0, fchmod(descriptor, 0o600) == 0,
      let file = unsafe fdopen(descriptor, "w")
    else {
      let reason = systemText(errno)
      close(descriptor)
      throw ConfigError(
        cause: "could not write capture file \(name) (\(reason))", remedy: "check its owner and the disk")
    }
    guard
      let capture = unsafe pcap_open_dead_with_tstamp_precision(
        DLT_EN10MB, Int32(Self.snapshotByteCount), UInt32(PCAP_TSTAMP_PRECISION_NANO))
    else {
      unsafe fclose(file)
      throw ConfigError(cause: "could not write capture file \(name)", remedy: "free memory")
    }
    guard let dumper = unsafe pcap_dump_fopen(capture, file) else {
      let reason = unsafe String(cString: pcap_geterr(capture))
      unsafe fclose(file)
      unsafe pcap_close(capture)
      throw ConfigError(cause: "could not write capture file \(name) (\(reason))", remedy: "free space on the disk")
    }
    unsafe self.capture = capture
    unsafe self.dumper = dumper
    self.name = name
    self.byteLimit = byteLimit
    byteCount = Self.fileHeaderByteCount
  }

  deinit {
    unsafe pcap_dump_close(dumper)
    unsafe pcap_close(capture)
  }

  /// Appends a frame; it reaches the disk with `flush` or when the buffer is full.
  /// - Parameter timestampNanoseconds: since 1970.
  /// - Returns: false if it was not written (`failure`).
  package mutating func write(_ frame: UnsafeRawBufferPointer, timestampNanoseconds: UInt64) -> Bool {
    guard failure == nil else { return false }
    let kept = min(frame.count, Self.snapshotByteCount)
    guard byteCount &+ Self.recordHeaderByteCount &+ kept <= byteLimit else {
      failure = ConfigError(
        cause: "capture file \(name) has reached its limit of \(byteLimit) bytes",
        remedy: "raise the limit, or give another file")
      return false
    }
    var header = pcap_pkthdr()
    header.ts.tv_sec = Int(truncatingIfNeeded: timestampNanoseconds / 1_000_000_000)
    header.ts.tv_usec = Int(truncatingIfNeeded: timestampNanoseconds % 1_000_000_000)
    header.caplen = UInt32(kept)
    header.len = UInt32(clamping: frame.count)
    // An empty frame has no address, and none of its bytes is read.
    var none: UInt8 = 0
    if let base = frame.baseAddress {
      unsafe pcap_dump(
        UnsafeMutableRawPointer(dumper).assumingMemoryBound(to: UInt8.self), &header,
        base.assumingMemoryBound(to: UInt8.self))
    } else {
      unsafe pcap_dump(UnsafeMutableRawPointer(dumper).assumingMemoryBound(to: UInt8.self), &header, &none)
    }
    byteCount &+= Self.recordHeaderByteCount &+ kept
    if unsafe ferror(pcap_dump_file(dumper)) != 0 { failure = diskFailure() }
    return failure == nil
  }

  /// Hands what is buffered to the system.
  /// - Returns: false if that failed (`failure`).
  package mutating func flush() -> Bool {
    guard failure == nil else { return false }
    if unsafe pcap_dump_flush(dumper) != 0 { failure = diskFailure() }
    return failure == nil
  }

  private func diskFailure() -> ConfigError {
    ConfigError(cause: "could not write capture file \(name) (\(systemText(errno)))", remedy: "free space on the disk")
  }
}
