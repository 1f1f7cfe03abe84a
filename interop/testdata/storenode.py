"""A real node with stores for the tests of this package: one endpoint of Broker, driven by requests.

A request is a line of JSON on standard input, its answer a line on standard output, {"ok": ...} or
{"error": "..."}. Values travel in Broker's JSON, {"@data-type": ..., "data": ...}, exactly; null stands
for no value. The node ends with its input.

With --plain it speaks plain TCP, else anonymous TLS, as by default.
"""

import datetime
import json
import os
import re
import select
import sys
import threading

import broker
from broker import Data

UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
EPOCH = datetime.datetime(1970, 1, 1)
PROTOCOLS = broker.Port.Protocol.__members__


def address(text):
    a = broker._broker.Address
    packed = broker.ipaddress.ip_address(text)
    return a(packed.packed, packed.version)


def nanoseconds(text):
    number, unit = re.fullmatch(r"(-?\d+)([a-z]+)", text).groups()
    return int(number) * UNITS[unit]


def since_epoch(text):
    whole, _, fraction = text.partition(".")
    seconds = (datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S") - EPOCH) // datetime.timedelta(seconds=1)
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


def time_text(ns):
    seconds, fraction = divmod(ns, 10**9)
    return (EPOCH + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S") + ".%09d" % fraction


def to_set(elems):
    s = broker.Set()
    for e in elems:
        s.add(value(e))
    return s


def to_table(entries):
    t = broker.Table()
    for e in entries:
        t[value(e["key"])] = value(e["value"])
    return t


def to_subnet(text):
    network, _, length = text.partition("/")
    return broker.Subnet(address(network), int(length))


def to_port(text):
    number, _, protocol = text.partition("/")
    return broker.Port(int(number), {"?": PROTOCOLS["Unknown"]}.get(protocol) or PROTOCOLS[protocol.upper()])


def value(j):
    """Make a value of JSON."""
    if j["@data-type"] == "none":
        return Data()
    make = {
        "boolean": bool,
        "count": broker.Count,
        "integer": int,
        "real": float,
        "string": str,
        "enum-value": broker.Enum,
        "address": address,
        "subnet": to_subnet,
        "port": to_port,
        "timestamp": lambda x: broker.Timestamp(broker.Timespan(since_epoch(x))),
        "timespan": lambda x: broker.Timespan(nanoseconds(x)),
        "set": to_set,
        "table": to_table,
        "vector": lambda x: broker.Vector([value(e) for e in x]),
    }[j["@data-type"]]
    return Data(make(j["data"]))


def real(x):
    return x if abs(x) < float("inf") else str(x)


def jsonable(d):
    """Make what json can write of a value. Durations and times are read from its text: as numbers they
    are only available with the precision of a real."""
    t = Data.Type
    kind, make = {
        t.Nil: ("none", lambda: {}),
        t.Boolean: ("boolean", d.as_boolean),
        t.Count: ("count", d.as_count),
        t.Integer: ("integer", d.as_integer),
        t.Real: ("real", lambda: real(d.as_real())),
        t.String: ("string", lambda: d.as_string().decode()),
        t.EnumValue: ("enum-value", lambda: d.as_enum_value().name),
        t.Address: ("address", lambda: str(d.as_address())),
        t.Subnet: ("subnet", lambda: str(d.as_subnet())),
        t.Port: ("port", lambda: str(d.as_port())),
        t.Timestamp: ("timestamp", lambda: time_text(nanoseconds(str(d)))),
        t.Timespan: ("timespan", lambda: str(d)),
        t.Set: ("set", lambda: [jsonable(e) for e in d.as_set()]),
        t.Table: ("table", lambda: [{"key": jsonable(k), "value": jsonable(v)} for k, v in d.as_table().items()]),
        t.Vector: ("vector", lambda: [jsonable(e) for e in d.as_vector()]),
    }[d.get_type()]
    return {"@data-type": kind, "data": make()}


def answer(expected):
    """Make what json can write of what a query returns: null if it failed."""
    return jsonable(expected.get()) if expected.is_valid() else None


class Node:
    def __init__(self, plain):
        options = broker.BrokerOptions()
        options.disable_ssl = plain
        options.ignore_broker_conf = True
        self.endpoint = broker.Endpoint(broker.Configuration(options))
        self.stores = {}
        self.events = {}
        self.lock = threading.Lock()

    # Requests about the endpoint.

    def id(self, _):
        return self.endpoint.node_id()

    def listen(self, r):
        return self.endpoint.listen(r["address"], r.get("port", 0))

    def peer(self, r):
        return self.endpoint.peer(r["address"], r["port"], r.get("retry", 0))

    def peer_nosync(self, r):
        self.endpoint.peer_nosync(r["address"], r["port"], r.get("retry", 0))

    def unpeer(self, r):
        return self.endpoint.unpeer(r["address"], r["port"])

    def peers(self, _):
        return [str(p.status) for p in self.endpoint.peers()]

    # Requests about stores.

    def attach(self, name, make):
        if name not in self.events:
            topics = broker._broker.VectorTopic([broker.Topic("<$>/local/data/store-events/" + name)])
            subscriber = broker._broker.Endpoint.make_subscriber(self.endpoint, topics, 20)
            self.events[name] = []
            threading.Thread(target=self.collect, args=(name, subscriber), daemon=True).start()
        s = make()
        if s is None:
            raise RuntimeError("refused")
        self.stores[name] = s._store

    def collect(self, name, subscriber):
        """Take the events of a store as they come: some hundreds that nobody takes stop the whole endpoint."""
        while True:
            select.select([subscriber.fd()], [], [])
            for _, event in subscriber.poll():
                if event.as_vector()[1].as_string() == name.encode():  # topics are prefixes
                    with self.lock:
                        self.events[name].append(event)

    def attach_master(self, r):
        backend = {"memory": broker.Backend.Memory, "sqlite": broker.Backend.SQLite}[r.get("backend", "memory")]
        options = {k: value(v) for k, v in r.get("options", {}).items()}
        self.attach(r["store"], lambda: self.endpoint.attach_master(r["store"], backend, options))

    def attach_clone(self, r):
        self.attach(r["store"], lambda: self.endpoint.attach_clone(r["store"]))

    def store_events(self, r):
        """Return the events of a store since it was attached, or since the last request for them."""
        with self.lock:
            taken, self.events[r["store"]] = self.events[r["store"]], []
        return [jsonable(e) for e in taken]

    def await_idle(self, r):
        return self.stores[r["store"]].await_idle(broker.Timespan(float(r["timeout"])))

    def operation(self, r):
        """Do what changes a store: arguments are the values, then the expiry if it can have one."""
        name, args = r["op"], [value(v) for v in r.get("args", [])]
        if name not in ("erase", "clear"):
            expiry = r.get("expiry")
            optional = broker._broker.OptionalTimespan
            args.append(optional() if expiry is None else optional(broker.Timespan(nanoseconds(expiry))))
        result = getattr(self.stores[r["store"]], name)(*args)
        return answer(result) if name == "put_unique" else None

    put = put_unique = erase = clear = increment = decrement = operation
    append = insert_into = remove_from = push = pop = operation

    def query(self, r):
        return answer(getattr(self.stores[r["store"]], r["op"])(*[value(v) for v in r.get("args", [])]))

    get = exists = keys = get_index_from_value = query

    def dump(self, r):
        """Return all contents as a list of pairs, or null if the store does not answer."""
        s = self.stores[r["store"]]
        keys = s.keys()
        if not keys.is_valid():
            return None
        pairs = [(key, s.get(key)) for key in keys.get().as_set()]
        return [[jsonable(key), jsonable(found.get())] for key, found in pairs if found.is_valid()]


def main():
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is written is not an answer
    node = Node("--plain" in sys.argv[1:])
    for line in sys.stdin:
        try:
            r = json.loads(line)
            reply = {"ok": getattr(node, r["op"])(r)}
        except Exception as e:
            reply = {"error": "%s: %s" % (type(e).__name__, e)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
    os._exit(0)  # without a farewell to peers, which may take long


main()
