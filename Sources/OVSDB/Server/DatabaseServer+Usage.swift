// How much the server holds and for whom: for the daemon's report of its memory.

extension DatabaseServer {
  package func usage() -> DatabaseUsage {
    var usage = DatabaseUsage(snapshot())
    usage.sessions = sessionCount
    usage.monitors = sessions.values.reduce(0) { $0 + $1.monitors.count }
    usage.triggers = waiting.count
    return usage
  }
}
