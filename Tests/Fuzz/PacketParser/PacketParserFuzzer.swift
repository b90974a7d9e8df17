// Fuzz target of libFuzzer for everything that reads or changes a packet's bytes (`make fuzz`): the parsers, checksums and
// segmentation on memory of the frame's very size (so that the address sanitizer sees each byte too many), then the whole
// datapath with rules that edit what they can. Nothing may trap; a packet is forwarded or a counted drop; what a cached flow
// does is what the tables say.

import CLibFuzzer
import Datapath
import Glibc
import VSwitchCore

@main struct PacketParserFuzzer {
  static func main() {
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv
    exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { start, count in unsafe testOneInput(start, count) })
  }
}

nonisolated(unsafe) private let bridge = FuzzedBridge()

/// Byte 0 chooses the entry port and so the rules, 1 to 10 are the offload metadata as on a ring, the rest is the frame.
private func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let start = unsafe start, count >= 11 else { return 0 }
  let choice = unsafe start[0]
  let metadata = unsafe OffloadMetadata(decoding: start + 1)
  let frame = UnsafeMutableRawBufferPointer.allocate(byteCount: count - 11, alignment: 1)
  defer { unsafe frame.deallocate() }
  unsafe frame.copyMemory(from: UnsafeRawBufferPointer(start: start + 11, count: count - 11))
  unsafe readKey(UnsafeRawBufferPointer(frame))
  unsafe finish(frame, metadata)
  let bytes = unsafe Array(UnsafeRawBufferPointer(start: start + 11, count: count - 11))
  unsafe bridge.receive(bytes, metadata, port: choice)
  return 0
}

/// The key and the Ethernet header say the same of tags, and bytes behind the frame count for nothing.
private func readKey(_ frame: UnsafeRawBufferPointer) {
  guard let base = frame.baseAddress else { return }
  var key = FlowKey()
  var layout = PacketLayout()
  let isParsed = unsafe FlowKeyParser(base, byteCount: frame.count).parse(inPort: 1, into: &key, &layout)
  guard let header = unsafe EthernetHeader(base, byteCount: frame.count) else {
    if isParsed { fatalError("a key without an Ethernet header") }
    return
  }
  guard isParsed else { return }
  if UInt64(key.ethernetDestination) != header.ethernetDestination { fatalError("two destinations") }
  for offset in [layout.networkOffset, layout.transportOffset, layout.mplsOffset] where offset != PacketLayout.none {
    if Int(offset) > frame.count { fatalError("a header behind the frame") }
  }
  var longer = unsafe Array(frame)
  longer += [0xff, 0x81, 0x00, 0x45, 0x06]
  var again = FlowKey()
  var layoutAgain = PacketLayout()
  let isSame = unsafe longer.withUnsafeBytes { bytes in
    guard let base = bytes.baseAddress else { return false }
    return unsafe FlowKeyParser(base, byteCount: frame.count).parse(inPort: 1, into: &again, &layoutAgain)
  }
  if !isSame || again != key { fatalError("bytes behind the frame were read") }
}

/// What an exit port without any offload needs.
private func finish(_ frame: UnsafeMutableRawBufferPointer, _ metadata: OffloadMetadata) {
  let verdict = unsafe classify(frame: UnsafeRawBufferPointer(frame), metadata: metadata, exit: [])
  let segmenter = unsafe Segmenter(frame: UnsafeRawBufferPointer(frame), metadata: metadata)
  let fragmenter = unsafe Fragmenter(frame: UnsafeRawBufferPointer(frame), metadata: metadata, identification: 7)
  switch verdict {
  case .passThrough: if !metadata.isComplete { fatalError("a frame with work left passed") }
  case .drop: if segmenter != nil || fragmenter != nil { fatalError("a frame to be dropped was cut") }
  case .finishChecksum:
    var rest = metadata
    guard unsafe finishChecksum(frame: frame, metadata: &rest), rest.isComplete else {
      fatalError("a checksum was refused that was asked for")
    }
  case .segment:
    if let segmenter {
      cut(segmenter)
    } else if let fragmenter {
      cut(fragmenter)
    } else {
      fatalError("a frame to be cut was refused")
    }
  }
}

/// Makes all parts of a frame.
private func cut(_ cutter: some FrameCutter) {
  var cutter = cutter
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: cutter.largestSegmentByteCount, alignment: 1)
  defer { unsafe buffer.deallocate() }
  var made = 0
  while let byteCount = unsafe cutter.next(into: buffer) {
    if byteCount > buffer.count { fatalError("a part that is too long") }
    made += 1
  }
  if made != cutter.segmentCount { fatalError("\(made) parts of \(cutter.segmentCount)") }
}
