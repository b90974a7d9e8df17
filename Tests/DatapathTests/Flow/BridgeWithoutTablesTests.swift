import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// A bridge whose flow tables find no memory forwards nothing, and says why.
@Suite struct BridgeWithoutTablesTests {
  @Test(arguments: [true, false]) func aBridgeWithoutMemoryForItsTablesIsNotThere(isSecure: Bool) throws {
    let directory = try TemporaryDirectory()
    var options = DatapathOptions()
    options.runDirectory = directory.path
    let datapath = try Datapath(options)
    defer { datapath.shutdown() }
    func bridge(_ name: String) -> BridgeConfig {
      var bridge = BridgeConfig(name: name)
      bridge.isSecure = isSecure
      bridge.ports = ["a", "b"].map { port in
        PortConfig(name: name + port, interface: InterfaceConfig(name: name + port, kind: .vhostUser))
      }
      return bridge
    }
    var config = SwitchConfig()
    config.bridges = [bridge("br0"), bridge("br1")]
    let fault = ConfigError(cause: "no memory for a cache of flows", remedy: "raise the limit")
    let real = datapath.state.withLock { state in
      let real = state.makeFlows
      state.makeFlows = { identifier, events, seed, config throws(ConfigError) in
        if config.name == "br1" { throw fault }
        return try real(identifier, events, seed, config)
      }
      return real
    }
    for state in datapath.apply(config) {
      #expect(state.error == (state.bridge == "br1" ? fault : nil), "\(state.name)")
    }
    #expect(datapath.rules(bridge: "br1", RuleFilter()) == nil, "it can't be given rules that would not count")
    #expect(datapath.rules(bridge: "br0", RuleFilter())?.count == (isSecure ? 0 : 1))
    let tables = datapath.state.withLock { state in state.bridges.keys.sorted() }
    #expect(tables == ["br0"], "no packet finds a bridge to be forwarded by")
    // The next time there may be memory.
    datapath.state.withLock { $0.makeFlows = real }
    for state in datapath.apply(config) { #expect(state.error == nil, "\(state.name)") }
    #expect(datapath.rules(bridge: "br1", RuleFilter())?.count == (isSecure ? 0 : 1))
  }
}
