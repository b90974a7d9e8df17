"""What OpenStack's agents do to a switch, through ovsdbapp (PyPI): every command has to be answered, and seen by the
running daemon, within the timeout. Prints one line for each step that held.
    ovsdbapp_commands.py unix:PATH
"""

import sys

from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.open_vswitch import impl_idl

idl = connection.OvsdbIdl.from_server(sys.argv[1], "Open_vSwitch")
api = impl_idl.OvsdbIdl(connection.Connection(idl=idl, timeout=10))


def run(command):
    return command.execute(check_error=True)


def check(name, found, wanted):
    if found != wanted:
        sys.exit(f"{name}: {found!r} instead of {wanted!r}")
    print(f"ok {name}")


run(api.add_br("br-int"))
run(api.add_br("br-int", may_exist=True))
check("add_br", run(api.list_br()), ["br-int"])
check("br_exists", [run(api.br_exists(b)) for b in ("br-int", "nosuch")], [True, False])

with api.transaction(check_error=True) as transaction:
    transaction.add(api.add_port("br-int", "tap1"))
    transaction.add(api.db_set("Interface", "tap1", ("type", "tap"), ("external_ids", {"iface-id": "port-1"})))
    transaction.add(api.db_set("Port", "tap1", ("tag", 7)))
check("add_port", sorted(run(api.list_ports("br-int"))), ["tap1"])
check("port_to_br", run(api.port_to_br("tap1")), "br-int")
check("db_get tag", run(api.db_get("Port", "tap1", "tag")), 7)
check("db_get external_ids", run(api.db_get("Interface", "tap1", "external_ids")), {"iface-id": "port-1"})
check("ofport", run(api.db_get("Interface", "tap1", "ofport")), 1)
check("error", run(api.db_get("Interface", "tap1", "error")), [])

run(api.add_port("br-int", "nosuch1"))
check("ofport of a missing device", run(api.db_get("Interface", "nosuch1", "ofport")), -1)
run(api.del_port("nosuch1", "br-int"))

run(api.set_controller("br-int", ["tcp:127.0.0.1:6633"]))
check("set_controller", run(api.get_controller("br-int")), ["tcp:127.0.0.1:6633"])
run(api.del_controller("br-int"))
run(api.set_fail_mode("br-int", "secure"))
check("set_fail_mode", run(api.db_get("Bridge", "br-int", "fail_mode")), "secure")
run(api.br_set_external_id("br-int", "a", "b"))
check("br_get_external_id", run(api.br_get_external_id("br-int", "a")), "b")

found = run(api.db_find("Interface", ("type", "=", "tap"), columns=["name", "type"]))
check("db_find", found, [{"name": "tap1", "type": "tap"}])
listed = run(api.db_list("Port", ["tap1"], columns=["name", "tag"]))
check("db_list", listed, [{"name": "tap1", "tag": 7}])
run(api.db_clear("Port", "tap1", "tag"))
check("db_clear", run(api.db_get("Port", "tap1", "tag")), [])
uuid = run(api.db_create("QoS", type="linux-htb", other_config={"max-rate": "1000"}))
run(api.db_set("Port", "tap1", ("qos", uuid)))
check("db_create", run(api.db_get("Port", "tap1", "qos")), uuid)
run(api.db_clear("Port", "tap1", "qos"))
run(api.db_destroy("QoS", uuid))

run(api.del_port("tap1"))
check("del_port", run(api.list_ports("br-int")), [])
run(api.del_br("br-int"))
check("del_br", run(api.list_br()), [])
print("done")
