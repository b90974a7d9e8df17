// All verbs, for the root command's help and completion, and the way from a command's words to its verb.

import ArgumentParser

enum VerbTable {
  static let overview: [any ParsableCommand.Type] = [
    ShowCommand.self, StatusCommand.self, InitializeCommand.self, EmergencyResetCommand.self, SchemaCommand.self,
  ]
  static let bridges: [any ParsableCommand.Type] = [
    AddBridgeCommand.self, DeleteBridgeCommand.self, ListBridgesCommand.self, BridgeExistsCommand.self,
    BridgeToVLANCommand.self, BridgeToParentCommand.self, BridgeSetExternalIDCommand.self,
    BridgeGetExternalIDCommand.self,
  ]
  static let ports: [any ParsableCommand.Type] = [
    AddPortCommand.self, DeletePortCommand.self, ListPortsCommand.self, PortToBridgeCommand.self,
    AddBondCommand.self, AddBondInterfaceCommand.self, DeleteBondInterfaceCommand.self,
    ListInterfacesCommand.self, InterfaceToBridgeCommand.self,
  ]
  static let database: [any ParsableCommand.Type] = [
    ListCommand.self, FindCommand.self, GetCommand.self, SetCommand.self, AddCommand.self, RemoveCommand.self,
    ClearCommand.self, CreateCommand.self, DestroyCommand.self, WaitUntilCommand.self, CommentCommand.self,
  ]
  static let controllers: [any ParsableCommand.Type] = [
    GetControllerCommand.self, SetControllerCommand.self, DeleteControllerCommand.self, GetFailModeCommand.self,
    SetFailModeCommand.self, DeleteFailModeCommand.self, GetManagerCommand.self, SetManagerCommand.self,
    DeleteManagerCommand.self, GetSSLCommand.self, SetSSLCommand.self, DeleteSSLCommand.self,
  ]
  static let datapath: [any ParsableCommand.Type] = [
    AddZonePolicyCommand.self, DeleteZonePolicyCommand.self, ListZonePoliciesCommand.self,
    ListCapabilitiesCommand.self, AddAutoAttachCommand.self, DeleteAutoAttachCommand.self, GetAutoAttachCommand.self,
  ]
  static let routers: [any ParsableCommand.Type] = [
    AddRouterCommand.self, DeleteRouterCommand.self, ListRoutersCommand.self, AddRouterPortCommand.self,
    DeleteRouterPortCommand.self, ListRouterPortsCommand.self, AddRouteCommand.self, DeleteRouteCommand.self,
    ListRoutesCommand.self, AddRouterPolicyCommand.self, DeleteRouterPolicyCommand.self,
    ListRouterPoliciesCommand.self, RouterGroup.self,
  ]
  static let security: [any ParsableCommand.Type] = [
    AddSecurityGroupCommand.self, DeleteSecurityGroupCommand.self, ListSecurityGroupsCommand.self,
    AddSecurityGroupRuleCommand.self, DeleteSecurityGroupRuleCommand.self, ListSecurityGroupRulesCommand.self,
  ]
  /// For those who build the switch, not for those who use it.
  static let hidden: [any ParsableCommand.Type] = [DocumentCommand.self]
  static let natNetworks: [any ParsableCommand.Type] = [
    AddNATNetworkCommand.self, DeleteNATNetworkCommand.self, ListNATNetworksCommand.self, ShowNATNetworkCommand.self,
    ForwardCommand.self, UnforwardCommand.self, ListForwardsCommand.self, AddLeaseCommand.self,
    DeleteLeaseCommand.self, LeasesCommand.self,
  ]
  static let flows: [any ParsableCommand.Type] = [
    AddFlowCommand.self, AddFlowsCommand.self, ModifyFlowsCommand.self, DeleteFlowsCommand.self,
    ReplaceFlowsCommand.self, DiffFlowsCommand.self, DumpFlowsCommand.self, DumpAggregateCommand.self,
    DumpTablesCommand.self, AddGroupCommand.self, AddGroupsCommand.self, ModifyGroupCommand.self,
    DeleteGroupsCommand.self, InsertBucketsCommand.self, RemoveBucketsCommand.self, DumpGroupsCommand.self,
    DumpGroupStatisticsCommand.self, DumpGroupFeaturesCommand.self, AddMeterCommand.self, ModifyMeterCommand.self,
    DeleteMetersCommand.self, DumpMetersCommand.self, MeterStatisticsCommand.self, MeterFeaturesCommand.self,
    ShowFeaturesCommand.self, DumpPortsCommand.self, DumpPortDescriptionsCommand.self, ModifyPortCommand.self,
    GetFragmentsCommand.self, SetFragmentsCommand.self, PacketOutCommand.self, MonitorCommand.self,
    DumpDescriptionCommand.self, DumpTableDescriptionsCommand.self, ModifyTableCommand.self,
    QueueStatisticsCommand.self, QueueConfigurationCommand.self, BundleCommand.self,
  ]
  static let runtime: [any ParsableCommand.Type] = [
    TraceCommand.self, DatapathGroup.self, ConntrackGroup.self, FDBGroup.self, PortGroup.self, DropsCommand.self,
  ]

  static var all: [any ParsableCommand.Type] {
    overview + bridges + ports + database + controllers + datapath + routers + natNetworks + security + flows + runtime
      + hidden
  }

  /// Every verb by what is written on the command line.
  static let byName: [String: any ParsableCommand.Type] = {
    var verbs: [String: any ParsableCommand.Type] = [:]
    for type in all {
      let name = type.configuration.commandName ?? ""
      let nested = type.configuration.subcommands
      if nested.isEmpty {
        for name in [name] + type.configuration.aliases { verbs[name] = type }
      }
      for inner in nested { verbs["\(name) \(inner.configuration.commandName ?? "")"] = inner }
    }
    return verbs
  }()

  /// The verb that a command's words spell.
  static func parse(_ words: CommandWords) throws(CommandFault) -> any ParsableCommand {
    guard let type = byName[words.verb] else {
      let near = Suggestion.nearest(to: words.verb, among: byName.keys)
      let nested = byName.keys.filter { $0.hasPrefix(words.verb + " ") }.sorted()
      throw CommandFault(
        "unknown command '\(words.verb)'",
        remedy: near.map { "did you mean \($0)?" }
          ?? (nested.isEmpty ? "see vsctl --help" : "write one of: \(nested.joined(separator: ", "))"))
    }
    do {
      return try type.parseWords(words.options + ["--"] + words.arguments)
    } catch {
      let usage = type.usageString(includeHidden: false)
      throw CommandFault(
        "\(words.verb): \(sentence(type.message(for: error)))",
        remedy: "usage: vsctl \(usage.hasPrefix("USAGE: ") ? String(usage.dropFirst(7)) : usage)")
    }
  }
}

extension VerbTable {
  /// ArgumentParser's message as part of a line of ours.
  static func sentence(_ message: String) -> String {
    var text = message.first.map { $0.lowercased() + message.dropFirst() } ?? ""
    while text.hasSuffix(".") { text.removeLast() }
    return text
  }
}

extension ParsableCommand {
  static func parseWords(_ words: [String]) throws -> any ParsableCommand { try parse(words) }
}
