"""Makes sure that a broker that dies, hangs or ends badly fails the test that runs it."""

import socket
import sys

import pytest

from . import broker
from .broker import Broker, BrokerFailed

LISTENER = """
import os, signal, socket, sys, time
open("{data}", "a").write("started ")
server = socket.create_server(("127.0.0.1", int(sys.argv[1].rsplit(":")[-1])))
print("listening on http://127.0.0.1:%d" % server.getsockname()[1], flush=True)
signal.signal(signal.SIGTERM, lambda *_: CODE)
while True:
    time.sleep(0.05)
"""


def listener(on_stop):
    """A program that listens as the broker does and does `on_stop` when it is asked to stop."""
    return [sys.executable, "-c", LISTENER.replace("CODE", on_stop), "127.0.0.1:0"]


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_restart_keeps_port_and_data(tmp_path):
    process = Broker(tmp_path, command=listener("os._exit(0)")).start()
    port = process.port
    process.kill9()
    assert not accepts(port)
    process.start()
    assert process.port == port
    assert accepts(port)
    process.stop()
    assert not accepts(port)
    assert (tmp_path / "data").read_text() == "started started "


def test_a_broker_that_ends_by_itself_is_a_failure(tmp_path):
    process = Broker(tmp_path, command=listener("os._exit(0)")).start()
    process.process.terminate()
    process.process.wait()
    with pytest.raises(BrokerFailed, match="ended by itself with 0"):
        process.kill9()


def test_a_broker_that_does_not_start_is_a_failure(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no room for {data}')"]
    with pytest.raises(BrokerFailed, match="no room for"):
        Broker(tmp_path, command=command).start()


def test_a_broker_that_stops_with_an_error_is_a_failure(tmp_path):
    process = Broker(tmp_path, command=listener("os._exit(3)")).start()
    with pytest.raises(BrokerFailed, match="exit code 3"):
        process.stop()


def test_a_broker_that_does_not_stop_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(broker, "STOP_SECONDS_MAX", 0.5)
    process = Broker(tmp_path, command=listener("None")).start()
    port = process.port
    with pytest.raises(BrokerFailed, match="did not stop"):
        process.stop()
    assert not accepts(port)
