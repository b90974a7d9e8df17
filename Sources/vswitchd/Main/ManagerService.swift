// The database's listeners and connections that its own tables Manager and SSL ask for, as a service of the daemon:
// they come when the daemon is ready and go when it ends. What clients of the database may name by that is below the
// run dir (sockets) and the directory of TLS files, whatever the rows say.

import Logging
import OVSDB
import ServiceLifecycle

/// Serves the embedded database where its table Manager says.
struct ManagerService: Service {
  private let remotes: ManagerRemotes

  init(_ database: DatabaseServer, _ options: DaemonOptions) {
    remotes = ManagerRemotes(database, places: options.places, logger: Logger(label: "manager"))
  }

  func run() async { await cancelWhenGracefulShutdown { await remotes.run() } }
}
