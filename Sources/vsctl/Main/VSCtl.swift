// The root command as ArgumentParser knows it: for help, version and completion. Command lines are split by Invocation
// and run by Session.

import ArgumentParser

struct VSCtl: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "vsctl",
    abstract: "Configures and inspects the virtual switch.",
    usage: "vsctl [global options] [--] [options] command [arguments] [-- [options] command [arguments]] ...",
    discussion: """
      Commands set apart by "--" are one atomic transaction: all of them take place or none. vsctl returns when the \
      datapath has the change. A port that can't work stays configured and starts when its cause is gone; vsctl says \
      on standard error why and what would mend it, and ends with status 0, as ovs-vsctl does.

      Columns are those of Open vSwitch's ovs-vswitchd.conf.db(5); "vsctl help TABLE" and "vsctl help TABLE COLUMN" say \
      what this switch does with them:
        vsctl add-br br0 -- add-port br0 p1 tag=10 -- set interface p1 type=tap options:netns=blue
        vsctl list-ports br0 -- get port p1 tag trunks
        vsctl --columns=name,error find interface 'error!=[]'

      Exit status: 0 done; 1 bad command line, refused or unreachable, nothing changed; 2 from br-exists: no such \
      bridge, from fdb, port, drops and status: refused by the daemon; 142 --timeout has passed.

      Open vSwitch's options about logs (-v, --verbose, --log-file, --syslog-method, --syslog-target, --no-syslog) are \
      accepted and without effect. Called as ovs-vsctl, this program is that one: its grammar, its messages, its \
      default database in OVS_RUNDIR or /var/run/openvswitch.

      Completion: vsctl --generate-completion-script bash|zsh|fish
      """,
    version: Program.vsctl.version,
    groupedSubcommands: [
      CommandGroup(name: "Overview", subcommands: VerbTable.overview),
      CommandGroup(name: "Bridge", subcommands: VerbTable.bridges),
      CommandGroup(name: "Port and interface", subcommands: VerbTable.ports),
      CommandGroup(name: "Database", subcommands: VerbTable.database),
      CommandGroup(name: "Controller, manager, TLS", subcommands: VerbTable.controllers),
      CommandGroup(name: "Datapath and Auto Attach", subcommands: VerbTable.datapath),
      CommandGroup(name: "Virtual router", subcommands: VerbTable.routers),
      CommandGroup(name: "NAT network", subcommands: VerbTable.natNetworks),
      CommandGroup(name: "Security group", subcommands: VerbTable.security),
      CommandGroup(name: "Flow rules, groups and meters (OpenFlow)", subcommands: VerbTable.flows),
      CommandGroup(name: "Running switch", subcommands: VerbTable.runtime),
      CommandGroup(name: "Development", subcommands: VerbTable.hidden),
    ])

  @OptionGroup var global: GlobalOptions
}
