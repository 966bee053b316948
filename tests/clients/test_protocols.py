"""The protocol of each client without TLS, seen on the wire by a relay, and the servers that it refuses with TLS."""

import contextlib
import socket
import threading

import pytest

from .clients import CLIENTS
from .program import CallFailed

RELAY_BYTES = 65536
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
# The name of a member as it stands in a body: quoted, or behind the byte that says that a text of 10 follows.
BODIES = {b'"StreamName"': "JSON", b"\x6aStreamName": "CBOR"}


class Relay:
    """Passes connections on to a port and keeps what clients send."""

    def __init__(self, port):
        self.port, self.sent = port, bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                broker = socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(target=self.copy, args=(client, broker, self.sent), daemon=True).start()
                threading.Thread(target=self.copy, args=(broker, client, bytearray()), daemon=True).start()

    def copy(self, source, target, kept):
        with contextlib.suppress(OSError):
            while data := source.recv(RELAY_BYTES):
                kept += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_http_and_body(broker, client, tmp_path):
    relay = Relay(broker.port)
    with contextlib.closing(relay.listener):
        program = client.start(f"http://127.0.0.1:{relay.listener.getsockname()[1]}", None, tmp_path)
        with pytest.raises(CallFailed, match="ResourceNotFoundException"):
            program.call("DescribeStream", StreamName="nowhere")
        program.close()
    http = "HTTP/2" if relay.sent.startswith(HTTP2_PREFACE) else "HTTP/1.1"
    bodies = [name for mark, name in BODIES.items() if mark in relay.sent]
    assert (http, *bodies) == client.speaks


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_ca_that_is_not_trusted_is_refused(broker, client, tmp_path):
    program = client.start(broker.endpoint.replace("http:", "https:"), None, tmp_path)
    with pytest.raises(CallFailed, match="(?i)certificate|ssl|pkix|issuer"):
        program.call("ListStreams")
    program.close()
