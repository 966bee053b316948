"""Proxies between an application and the broker: one follows the nodes that are alive, one answers with faults."""

import http.client
import random
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COPY_BYTES = 64 * 1024
CONNECT_SECONDS_MAX = 2
THROTTLED = (400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",'
             b'"message":"injected by the test"}')
FAILED = (500, b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"injected by the test"}')


class Forwarder:
    """One address for a cluster: each connection goes to the first node that accepts it."""

    def __init__(self, ports):
        self.ports = ports
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        node = self.connect()
        if node is None:
            client.close()
            return
        back = threading.Thread(target=copy, args=(node, client), daemon=True)
        back.start()
        copy(client, node)
        back.join()
        client.close()
        node.close()

    def connect(self):
        for port in self.ports:
            try:
                node = socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS_MAX)
                node.settimeout(None)
                return node
            except OSError:
                continue
        return None

    def close(self):
        self.listener.close()


def copy(source, sink):
    """Copies until either end is closed, and closes the other one's half."""
    try:
        while data := source.recv(COPY_BYTES):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            end.close()


class FaultyTables:
    """An endpoint of lease tables that answers shares of the calls with throttles and with HTTP 500 by itself."""

    def __init__(self, endpoint, throttled_share, failed_share, seed):
        self.address = urlsplit(endpoint)
        self.shares = (throttled_share, failed_share)
        self.generator = random.Random(seed)
        self.lock = threading.Lock()
        self.counts = {"passed": 0, "throttled": 0, "failed": 0}
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                proxy.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def draw(self):
        """The outcome of the next call, counted."""
        with self.lock:
            drawn = self.generator.random()
            throttled, failed = self.shares
            outcome = "throttled" if drawn < throttled else "failed" if drawn < throttled + failed else "passed"
            self.counts[outcome] += 1
            return outcome

    def answer(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        outcome = self.draw()
        if outcome == "throttled":
            status, answer = THROTTLED
        elif outcome == "failed":
            status, answer = FAILED
        else:
            status, answer = self.forward(request, body)
        request.send_response(status)
        request.send_header("Content-Type", "application/x-amz-json-1.0")
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def forward(self, request, body):
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=60)
        try:
            connection.request("POST", request.path, body, dict(request.headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
