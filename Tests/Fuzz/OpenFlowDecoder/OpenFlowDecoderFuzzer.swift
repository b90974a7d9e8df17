// Fuzz target of libFuzzer for the OpenFlow decoder (`make fuzz`): any bytes end as a message, an error or a close, and
// what was read can be written, and then reads and writes the same.

import CLibFuzzer
import Glibc
import OpenFlow

@main struct OpenFlowDecoderFuzzer {
  static func main() {
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv
    exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { start, count in unsafe testOneInput(start, count) })
  }
}

/// The first byte chooses the connection's state; the rest is a message, whose length is put right.
private func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
  guard bytes.count >= 9 else { return 0 }
  let state = bytes.removeFirst()
  if bytes.count > 65535 { bytes.removeLast(bytes.count - 65535) }
  bytes[2] = UInt8(bytes.count >> 8)
  bytes[3] = UInt8(bytes.count & 0xff)
  var decoder = MessageDecoder()
  var encoder = MessageEncoder()
  decoder.flowModTableID = state & 1 != 0
  encoder.flowModTableID = state & 1 != 0
  do {
    let message = try decoder.decode(bytes)
    // Not all that can be read can be written: some of it would be longer than a message.
    guard let written = try? encoder.encode(message), written.count <= 65535 else { return 0 }
    guard let again = try? decoder.decode(written), let rewritten = try? encoder.encode(again) else {
      fatalError("what was written cannot be read: \(message)")
    }
    guard rewritten == written else { fatalError("written twice, and not the same: \(message) \(again)") }
  } catch {
    guard case .refused(let refusal) = error else { return 0 }
    guard (try? encoder.encode(refusal.message)) != nil else { fatalError("no answer to \(refusal)") }
  }
  return 0
}
