// The bridges' management sockets, `<run dir>/<bridge>.mgmt`, as ovs-ofctl looks for them, and what the datapath has to tell
// to whoever is connected. An actor; connections run in tasks of their own.

import Datapath
import Glibc
import Logging
import NIOCore
import NIOPosix
import OVSDB
import OpenFlow
import ServiceLifecycle
import Transport
import VSwitchCore

/// Serves OpenFlow for every bridge.
actor ControllerService: Service {
  private let plane: any FlowPlane
  private let runDirectory: String
  private let logger: Logger
  private var agents: [String: BridgeAgent] = [:]
  private var listeners: [String: any Channel] = [:]
  private var isOpen = false
  private let eventLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

  private let store: any ConfigurationStore

  init(store: any ConfigurationStore, plane: any FlowPlane, runDirectory: String, logger: Logger) {
    self.store = store
    self.plane = plane
    self.runDirectory = runDirectory
    self.logger = logger
  }

  /// Begins to have sockets.
  func open(_ bridges: [String]) async {
    isOpen = true
    await follow(bridges)
  }

  /// Has a socket for each of these bridges, and for no other, from `open` on.
  func follow(_ bridges: [String]) async {
    guard isOpen else { return }
    for name in agents.keys where !bridges.contains(name) {
      agents[name] = nil
      if let listener = listeners.removeValue(forKey: name) { try? await listener.close().get() }
      _ = unsafe unlink(path(name))
    }
    for name in bridges where agents[name] == nil {
      let agent = BridgeAgent(name: name, plane: plane, datapathID: { [store] in await Self.datapathID($0, store) })
      agents[name] = agent
      do {
        listeners[name] = try await listen(agent)
      } catch {
        logger.error("no management socket", metadata: ["bridge": "\(name)", "reason": "\(error)"])
      }
    }
  }

  private static func datapathID(_ bridge: String, _ store: any ConfigurationStore) async -> UInt64 {
    typealias Bridge = OpenVSwitch.Bridge
    let row = await store.snapshot().rows("Bridge").first { $0[Bridge.name] == bridge }
    return row?[Bridge.datapathID].flatMap { UInt64($0, radix: 16) } ?? 0
  }

  private func path(_ bridge: String) -> String { "\(runDirectory)/\(bridge).mgmt" }

  private func listen(_ agent: BridgeAgent) async throws -> any Channel {
    try await SocketOpener(.unix(path: path(agent.name)), tls: nil, group: eventLoops, logger: logger) { channel in
      let connection = OpenFlowConnection(channel)
      try connection.install()
      Task { await agent.serve(connection, .all) }
    }.listen()
  }

  func run() async {
    await cancelWhenGracefulShutdown { [self] in
      await withTaskGroup(of: Void.self) { group in
        group.addTask { [self, plane] in
          for await packet in plane.controllerPackets { await agents[packet.bridge]?.tell(packet.packet) }
        }
        group.addTask { [self, plane] in
          for await expired in plane.expiredFlows { await agents[expired.bridge]?.tell(expired.outcome.removed) }
        }
        await group.waitForAll()
      }
    }
    await follow([])
    try? await eventLoops.shutdownGracefully()
  }
}
