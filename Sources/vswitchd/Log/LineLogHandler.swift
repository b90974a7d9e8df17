// swift-log's backend: one event, one line — time, level, who, message, then key=value pairs in order of their keys.
// A value; all handlers of the process share one `LogSink`.

import Logging

/// Writes events as lines to a `LogSink`.
struct LineLogHandler: LogHandler {
  let label: String
  let sink: LogSink
  var metadata: Logger.Metadata = [:]

  init(label: String, sink: LogSink) {
    self.label = label
    self.sink = sink
    sink.change { $0.register(label) }
  }

  /// The module's level, changed while running by `vlog/set`; of a module that is off only `log` knows.
  var logLevel: Logger.Level {
    get { sink.level(of: label) ?? .critical }
    set { sink.change { $0.apply(.level(newValue, module: label)) } }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    guard sink.level(of: label) != nil else { return }
    // What a developer asked for by lowering the level is not limited.
    let isLimited = event.level >= .info
    sink.write(site: .init(file: event.file, line: event.line), isLimited: isLimited) {
      Self.line(
        level: event.level, label: label, message: event.message.description,
        metadata: metadata.merging(event.metadata ?? [:]) { _, new in new })
    }
  }

  /// The line after its time.
  static func line(level: Logger.Level, label: String, message: String, metadata: Logger.Metadata) -> String {
    var line = level.rawValue.uppercased() + " " + label + ": " + LogText.escaped(message)
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      line += " " + LogText.escaped(key) + "=" + LogText.value(value.description)
    }
    return line
  }
}
