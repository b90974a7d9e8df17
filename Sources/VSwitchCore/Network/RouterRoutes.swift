// The routing table of a router: routes to the networks of its ports, those that are given, and which of them count. Pure.

/// Where packets of a route go.
public struct RouteHop: Hashable, Sendable {
  /// Name of the port.
  public var port: String
  /// Nil: the destination itself.
  public var nextHop: IPAddress?
}

/// One prefix of the routing table.
public struct RoutingEntry: Equatable, Sendable {
  public var prefix: IPPrefix
  public var kind = RouterRoute.Kind.unicast
  public var metric = 0
  /// Of unicast routes at least one; connections are spread over several.
  public var hops: [RouteHop] = []
  /// It follows from a port's address.
  public var isConnected = false
}

extension RouterConfig {
  /// Finds where a given route leads.
  public func hop(of route: RouterRoute) throws(ConfigError) -> RouteHop? {
    guard route.kind == .unicast else { return nil }
    if let name = route.port {
      guard let port = port(name) else {
        throw ConfigError(
          cause: "route \(route.prefix): router \(self.name) has no port \(name)",
          remedy: "its ports are \(ports.map(\.name).joined(separator: ", "))")
      }
      guard let nextHop = route.nextHop else { return RouteHop(port: name, nextHop: nil) }
      if !nextHop.isLinkLocal, !port.addresses.contains(where: { $0.network.contains(nextHop) }) {
        throw ConfigError(
          cause: "route \(route.prefix): \(nextHop) is in no network of port \(name)",
          remedy: "give a next hop of \(networks(of: port)), or the port that has it")
      }
      return RouteHop(port: name, nextHop: nextHop)
    }
    guard let nextHop = route.nextHop else {
      throw ConfigError(
        cause: "route \(route.prefix) leads nowhere",
        remedy: "give it via ADDRESS, dev PORT or a type such as blackhole")
    }
    if owns(nextHop) {
      throw ConfigError(
        cause: "route \(route.prefix): \(nextHop) is the router's own address", remedy: "give that of the next router")
    }
    let found = ports.first { port in port.addresses.contains { $0.network.contains(nextHop) } }
    guard let found, !nextHop.isLinkLocal else {
      throw ConfigError(
        cause: "route \(route.prefix): \(nextHop) is in no network of router \(name)",
        remedy: nextHop.isLinkLocal
          ? "say which port it is on: dev PORT" : "add a port with an address of that network first")
    }
    return RouteHop(port: found.name, nextHop: nextHop)
  }

  private func networks(of port: RouterPort) -> String {
    port.addresses.map(\.network.description).joined(separator: ", ")
  }

  /// All prefixes, the longest first; of several routes to a prefix those with the lowest metric. Routes that lead nowhere are
  /// left out.
  public var routingTable: [RoutingEntry] {
    var entries: [IPPrefix: RoutingEntry] = [:]
    for port in ports {
      for address in port.addresses {
        var entry = RoutingEntry(prefix: address.network)
        entry.isConnected = true
        entry.hops = [RouteHop(port: port.name, nextHop: nil)]
        if entries[address.network] == nil { entries[address.network] = entry }
      }
    }
    for route in routes {
      let hop: RouteHop?
      do throws(ConfigError) { hop = try self.hop(of: route) } catch { continue }
      if let known = entries[route.prefix] {
        if known.isConnected || known.metric < route.metric { continue }
        if known.metric == route.metric {
          // A route that is not to be used wins over those that lead somewhere.
          if known.kind == .unicast, route.kind == .unicast, let hop {
            if !known.hops.contains(hop) { entries[route.prefix]?.hops.append(hop) }
            continue
          }
          if known.kind != .unicast { continue }
        }
      }
      var entry = RoutingEntry(prefix: route.prefix)
      entry.kind = route.kind
      entry.metric = route.metric
      entry.hops = [hop].compactMap(\.self)
      entries[route.prefix] = entry
    }
    return entries.values.sorted { ($1.prefix.bitCount, $0.prefix) < ($0.prefix.bitCount, $1.prefix) }
  }
}
