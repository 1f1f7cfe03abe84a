"""A real node with an SQLite store: node.py PATH TASK. It prints what it finds wrong, and "done"."""

import datetime
import ipaddress
import sys
import time

import broker
from broker import Data

path, task = sys.argv[1:]
endpoint = broker.Endpoint()
store = endpoint.attach_master("test", broker.Backend.SQLite, {"path": path})
if store is None:
    print("cannot attach a master")
    sys.exit()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            print("waited in vain")
            sys.exit()
        time.sleep(0.01)


if task == "write":
    store.put("none", None)
    store.put("boolean", True)
    store.put("count", broker.Count(7))
    store.put("integer", -7)
    store.put("real", 2.5)
    store.put("inf", float("-inf"))
    store.put("string", "str")
    store.put("address", ipaddress.ip_address("192.0.2.1"))
    store.put("subnet", ipaddress.ip_network("10.0.0.0/8"))
    store.put("port", broker.Port(443, broker.Port.TCP))
    store.put("time", datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc))
    store.put("timespan", datetime.timedelta(seconds=2))
    store.put("enum", broker.Enum("K::E"))
    store.put("set", {3, 1, "b", "a"})
    store.put("table", {"k": (1, {2})})
    store.put("vector", (1, "x", None))
    store.put((1, ipaddress.ip_address("::1")), "key that is a vector")
    store.put("expiring", 1, 3600)
    store.put("gone", 1, 0.001)
    until(lambda: not store.exists("gone"))
elif task == "read and write":
    # Every value goes through the node's decoder and encoder, and is looked up as a key.
    raw = store._store
    n = store.get("number of values")
    for i in range(n.value):
        value = raw.get(Data(broker.Count(i)))
        if not value.is_valid():
            print("no value", i)
        elif not Data.to_py(raw.exists(value.get()).get()):
            print("value", i, "is no key", value.get())
        else:
            raw.put(Data(broker.Count(1000 + i)), value.get(), broker._broker.OptionalTimespan())
    store.put("changed", "by the node")
    store.increment("number", broker.Count(5))
    store.insert_into("set", "b")
    store.erase("erased")
    store.put("expiring", 1, 3600)
    until(lambda: not store.exists("expires soon"))
    if not store.exists("expires later"):
        print("expired too early")

until(store.await_idle)
store = None
endpoint.shutdown()
print("done")
