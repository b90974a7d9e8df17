// The control socket <run dir>/vswitchd.<pid>.ctl. The JSON-RPC server of OVSDB does the work with bytes; here is what
// ovs-appctl expects of its answers.

import Logging
import OVSDB

enum ControlServer {
  static func listen(path: String, _ commands: ControlCommands, _ logger: Logger) async throws -> JSONRPCServer {
    let table = ControlCommandTable(commands.all)
    return try await JSONRPCServer.listen(on: .unix(path: path), logger: logger) { request, _ in
      commands.coverage.count(.controlRequest)
      do throws(ControlError) {
        return .result(try await table.run(request.method, request.params).value)
      } catch {
        commands.coverage.count(.controlRequestFailed)
        return .error(.string(error.text))
      }
    }
  }
}
