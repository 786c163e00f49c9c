"""Drives the official Python client: commands as lines on stdin, one JSON line on stdout for each.

usage: probe.py [--timeout-ms N] <meta ip:port>...
A line is a JSON list of strings or plain words: open T | set T H S V [ttl s] | get T H S | del T H S | ttl T H S | quit
"""

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time

# The client opens ./pegasus.log when imported: give it a directory to do so in, then send its log to stderr.
scratch = tempfile.mkdtemp(prefix="pegasus-py-probe-")
os.chdir(scratch)
from pypegasus.base.ttypes import error_types  # noqa: E402
from pypegasus.pgclient import Pegasus  # noqa: E402

for handler in logging.getLogger().handlers[:]:
    logging.getLogger().removeHandler(handler)
    handler.close()
logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))
os.chdir("/")
shutil.rmtree(scratch)

from twisted.internet import defer, reactor, stdio  # noqa: E402
from twisted.protocols.basic import LineReceiver  # noqa: E402

ARITY = {"open": (1, 1), "set": (4, 5), "get": (3, 3), "del": (3, 3), "ttl": (3, 3), "quit": (0, 0)}


class ProbeError(Exception):
    pass


def code_name(code):
    try:
        return error_types(code).name
    except ValueError:
        return "code %s" % (code,)


class Probe(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 16 * 1024 * 1024

    def __init__(self, metas, timeout_ms):
        self.metas = metas
        self.timeout_ms = timeout_ms
        self.tables = {}  # name -> Pegasus: this client is one object per table
        self.turn = defer.DeferredLock()  # one command at a time, answered in order

    def connectionMade(self):
        self.answer({"cmd": "ready", "ok": True, "ms": 0})

    def lineReceived(self, line):
        text = line.decode("utf-8").strip()
        if text:
            self.turn.run(self.run, text)

    def connectionLost(self, reason=None):
        if reactor.running:
            reactor.stop()

    @defer.inlineCallbacks
    def run(self, text):
        cmd, reply, start = "?", {}, time.monotonic()
        try:
            words = json.loads(text) if text.startswith("[") else text.split()
            cmd, args = words[0], words[1:]
            low, high = ARITY.get(cmd, (None, None))
            if low is None or not low <= len(args) <= high:
                raise ProbeError("bad command")
            value = yield defer.maybeDeferred(getattr(self, "do_" + cmd), *args)
            reply = {"ok": True} if value is None else {"ok": True, "value": value}
        except ProbeError as e:
            reply = {"ok": False, "error": str(e)}
        except Exception as e:  # whatever the client throws is a result, not the probe's end
            reply = {"ok": False, "error": "%s: %s" % (type(e).__name__, e)}
        self.answer(dict(reply, cmd=cmd, ms=round((time.monotonic() - start) * 1000, 1)))
        if cmd == "quit":
            self.transport.loseConnection()

    def answer(self, reply):
        self.sendLine(json.dumps(reply).encode("utf-8"))

    @defer.inlineCallbacks
    def do_open(self, name):
        if name in self.tables:
            return
        client = Pegasus(self.metas, name, self.timeout_ms)
        try:
            opened = yield client.init()
        except Exception:
            client.close()
            raise
        if not opened:  # init() tells failure by None and keeps the cause to itself
            client.close()
            raise ProbeError("init() failed")
        self.tables[name] = client

    def do_set(self, name, hash_key, sort_key, value, ttl="0"):
        return self.operate(name, "set", hash_key, sort_key, value, int(ttl))

    def do_get(self, name, hash_key, sort_key):
        return self.operate(name, "get", hash_key, sort_key)

    def do_del(self, name, hash_key, sort_key):
        return self.operate(name, "remove", hash_key, sort_key)

    def do_ttl(self, name, hash_key, sort_key):
        return self.operate(name, "ttl", hash_key, sort_key)

    def do_quit(self):
        for client in self.tables.values():
            client.close()

    @defer.inlineCallbacks
    def operate(self, name, method, *args):
        if name not in self.tables:
            raise ProbeError("table not open")
        result = yield defer.maybeDeferred(getattr(self.tables[name], method), *args)
        # An error of the RPC layer comes as a bare enum member, everything else as (code, value).
        if isinstance(result, error_types):
            raise ProbeError(result.name)
        code, value = result
        if code == error_types.ERR_OBJECT_NOT_FOUND.value and method in ("get", "ttl"):
            return -2 if method == "ttl" else None  # as the Go client tells it
        if code != error_types.ERR_OK.value:
            raise ProbeError(code_name(code))
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--timeout-ms", type=int, default=2000)
    parser.add_argument("metas", nargs="+")
    options = parser.parse_args()
    stdio.StandardIO(Probe(options.metas, options.timeout_ms))
    reactor.run()


main()
