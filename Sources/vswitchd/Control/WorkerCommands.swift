// Commands on workers: dpif-netdev/pmd-rxq-show, in the form of ovs-appctl as far as it goes, and structured.

import Datapath
import OVSDB

extension ControlCommands {
  var workerCommands: [ControlCommand] {
    [
      ControlCommand("dpif-netdev/pmd-rxq-show", "[-pmd core] [dp]", 0...3) { call throws(ControlError) in
        let workers = await blocking { [plane] in plane.workers() }
        return call.wantsJSON ? .json(.array(workers.map(Self.json))) : .text(workers.map(Self.text).joined())
      }
    ]
  }

  private static func text(_ worker: WorkerDescription) -> String {
    let cpu = worker.cpu.map(String.init) ?? "any"
    var text = "pmd thread numa_id 0 core_id \(cpu):\n  isolated : false\n"
    for port in worker.bridges.flatMap(\.ports) {
      text += "  port: \(TextTable.padded(port, to: 16))  queue-id:  0 (enabled)\n"
    }
    return text
  }

  private static func json(_ worker: WorkerDescription) -> JSONValue {
    [
      "worker": JSONValue(worker.number), "cpu": worker.cpu.map { JSONValue($0) } ?? .null,
      "bridges": .array(
        worker.bridges.map { bridge in
          ["name": .string(bridge.name), "ports": .array(bridge.ports.map { .string($0) })]
        }),
    ]
  }
}
