"""Starts apps of os-ken:  os_ken_app.py OPENFLOW_PORT APP ...  (the REST interface, if an app has one: 127.0.0.1:8080)

osken-manager of the releases that no longer have these apps does not start the web server that they want.
"""
import sys

from os_ken.lib import hub

hub.patch()

import logging  # noqa: E402

from os_ken import cfg  # noqa: E402
from os_ken.base.app_manager import AppManager  # noqa: E402
import os_ken.controller.controller  # noqa: E402,F401: registers options
from os_ken.app import wsgi  # noqa: E402

logging.basicConfig(level=logging.INFO)
cfg.CONF(args=[], project="os_ken")
cfg.CONF.set_override("ofp_tcp_listen_port", int(sys.argv[1]))
cfg.CONF.set_override("wsapi_host", "127.0.0.1")
manager = AppManager.get_instance()
manager.load_apps(sys.argv[2:] + ["os_ken.controller.ofp_handler"])
services = manager.instantiate_apps(**manager.create_contexts())
server = wsgi.start_service(manager)
if server:
    services.append(hub.spawn(server))
try:
    hub.joinall(services)
finally:
    manager.close()
