// Commands on routers: what they are, where they send, whom they know.

import OVSDB
import VSwitchCore

extension ControlCommands {
  var routerCommands: [ControlCommand] {
    [
      ControlCommand("router/show", "[router]", 0...1) { call throws(ControlError) in
        let routers: [RouterConfig]
        if let name = call.arguments.first {
          routers = [try await router(name)]
        } else {
          routers = await network?.configs ?? []
        }
        let errors = await reconciler.networkErrors
        let reports = routers.map { RouterReport($0, errors) }
        return call.wantsJSON
          ? .json(.array(reports.map(\.json))) : .text(reports.flatMap(\.lines).map { $0 + "\n" }.joined())
      },
      ControlCommand("router/routes", "router", 1...1) { call throws(ControlError) in
        let routes = try await router(call.arguments[0]).routingTable.flatMap(RouterReport.routes)
        guard call.wantsJSON else {
          return .text(routes.map { RouterReport.text($0) + "\n" }.joined())
        }
        return .json(.array(routes))
      },
      ControlCommand("router/neighbours", "router", 1...1) { call throws(ControlError) in
        let name = try await router(call.arguments[0]).name
        let neighbours = await network?.neighbours(of: name) ?? []
        guard call.wantsJSON else {
          return .text(
            neighbours.map {
              "\($0.address) dev \($0.port) lladdr \($0.hardware?.description ?? "-") \($0.state) age \($0.ageSeconds)\n"
            }.joined())
        }
        return .json(
          .array(
            neighbours.map { neighbour in
              [
                "address": .string(neighbour.address.description), "port": .string(neighbour.port),
                "mac": neighbour.hardware.map { .string($0.description) } ?? .null,
                "state": .string(neighbour.state), "age": JSONValue(neighbour.ageSeconds),
                "waiting": JSONValue(neighbour.waitingCount),
              ]
            }))
      },
    ]
  }

  private func router(_ name: String) async throws(ControlError) -> RouterConfig {
    if let router = await network?.configs.first(where: { $0.name == name }) { return router }
    throw ControlError("there is no router \"\(LogText.escaped(name))\": see the routers with list-routers\n")
  }
}

/// A router in words and as JSON.
struct RouterReport {
  let router: RouterConfig
  /// What is wrong, by name of port or router.
  let errors: [String: String]

  init(_ router: RouterConfig, _ errors: [String: String]) {
    self.router = router
    self.errors = errors
  }

  var lines: [String] {
    var lines = ["router \(router.name)"]
    if router.tracksConnections { lines[0] += " (connections in zone \(router.zone))" }
    if let error = errors[router.name] { lines.append("    error: \(error)") }
    for port in router.ports {
      var line = "    port \(port.name): bridge \(port.bridge)"
      line += port.tag.map { ", VLAN \($0)" } ?? ", untagged"
      line += ", \(port.hardwareAddress), MTU \(port.mtu)"
      if port.masquerades { line += ", masquerades" }
      if port.advertisement != nil { line += ", advertises itself" }
      lines.append(line)
      for address in port.addresses { lines.append("        \(address)") }
    }
    for (name, error) in errors.sorted(by: { $0.key < $1.key }) where name.hasPrefix("\(router.name)/") {
      lines.append("    error: \(error)")
    }
    return lines
  }

  var json: JSONValue {
    [
      "name": .string(router.name), "zone": JSONValue(Int(router.zone)),
      "tracks_connections": .boolean(router.tracksConnections), "error": Self.optional(errors[router.name]),
      "errors": .array(
        errors.filter { $0.key.hasPrefix("\(router.name)/") }.values.sorted().map(JSONValue.string)),
      "ports": .array(
        router.ports.map { port in
          [
            "name": .string(port.name), "bridge": .string(port.bridge),
            "tag": port.tag.map { JSONValue(Int($0)) } ?? .null, "mac": .string(port.hardwareAddress.description),
            "mtu": JSONValue(port.mtu), "masquerade": .boolean(port.masquerades),
            "addresses": .array(port.addresses.map { .string($0.description) }),
          ]
        }), "lines": .array(lines.map(JSONValue.string)),
    ]
  }

  static func routes(_ entry: RoutingEntry) -> [JSONValue] {
    let hops = entry.hops.isEmpty ? [nil] : entry.hops.map(Optional.some)
    return hops.map { hop in
      [
        "prefix": .string(entry.prefix.description),
        "type": .string(entry.isConnected ? "connected" : entry.kind.rawValue),
        "next_hop": optional(hop?.nextHop?.description), "port": optional(hop?.port),
        "metric": JSONValue(entry.metric),
      ]
    }
  }

  static func text(_ route: JSONValue) -> String {
    var words = [route["prefix"]?.string ?? "", route["type"]?.string ?? ""]
    if let nextHop = route["next_hop"]?.string { words += ["via", nextHop] }
    if let port = route["port"]?.string { words += ["dev", port] }
    if let metric = route["metric"]?.integer, metric != 0 { words += ["metric", "\(metric)"] }
    return words.joined(separator: " ")
  }

  private static func optional(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }
}
