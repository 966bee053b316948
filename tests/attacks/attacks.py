"""Clients that take what they can of a broker: bodies, answers, streams, heads and connections.

Each attack is a function of the broker's port and a time to end; it holds its connections until then and opens new
ones for those that the broker ends. Only the standard library: HTTP/2 is written by hand, so that it can be as
impolite as the attack needs.
"""

import base64
import json
import os
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_BODY = 20 << 20


def head(operation, length, extra=""):
    """The head of a call in HTTP/1.1."""
    return (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n"
        f"Content-Type: application/x-amz-json-1.1\r\n{extra}Content-Length: {length}\r\n\r\n"
    ).encode()


def connect(port):
    """A connection whose calls do not wait."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.setblocking(False)
    return client


def send(client, data):
    """Sends as much as the connection takes now; None when it has ended."""
    try:
        return client.send(data)
    except BlockingIOError:
        return 0
    except OSError:
        return None


def held(port, count, ends, begin, go_on=lambda client: send(client, b"") is not None, pause=0.2):
    """Keeps up `count` connections that have begun so, until the time is over."""
    clients = []
    while time.monotonic() < ends:
        while len(clients) < count and time.monotonic() < ends:
            try:
                client = connect(port)
            except OSError:
                break
            begin(client)
            clients.append(client)
        living = []
        for client in clients:
            if go_on(client):
                living.append(client)
            else:
                client.close()
        clients = living
        time.sleep(pause)
    for client in clients:
        client.close()


def is_open(client):
    """Whether the broker has not ended it; what it has sent stays unread."""
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def announcements(port, ends):
    """Heads that announce the largest body, and a byte of it."""
    held(port, 200, ends, lambda client: send(client, head("PutRecords", LARGEST_BODY) + b"{"), is_open)


def slow_bodies(port, ends):
    """Bodies that have begun well and go on by a few bytes."""
    begin = head("PutRecords", LARGEST_BODY) + b"{" + b" " * 100_000
    held(port, 200, ends, lambda client: send(client, begin), lambda client: is_open(client) and send(client, b" " * 200) is not None)


def unread_answers(port, ends):
    """Many calls of GetRecords on connections of HTTP/1.1 that read nothing."""
    body = json.dumps({"ShardIterator": iterator(port)}).encode()
    call = head("GetRecords", len(body)) + body
    held(port, 150, ends, lambda client: send(client, call * 20), is_open)


def frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header in HPACK, without tables or Huffman codes."""

    def text(data):
        length = len(data)
        if length < 127:
            return bytes([length]) + data
        rest, more = length - 127, b""
        while rest >= 128:
            more, rest = more + bytes([rest % 128 | 128]), rest // 128
        return b"\x7f" + more + bytes([rest]) + data

    return b"\0" + text(name.encode()) + text(value.encode())


def headers(stream, operation, length, ends=False, extra=()):
    """The head of a call in HTTP/2."""
    block = b"".join(
        literal(name, value)
        for name, value in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "localhost"),
            ("x-amz-target", f"Kinesis_20131202.{operation}"),
            ("content-type", "application/x-amz-json-1.1"),
            ("content-length", str(length)),
            *extra,
        ]
    )
    return frame(1, 4 | (1 if ends else 0), stream, block)


def unread_answers_http2(port, ends):
    """Calls of GetRecords on connections of HTTP/2 with windows of 2 GiB that read nothing."""
    body = json.dumps({"ShardIterator": iterator(port)}).encode()
    begin = PREFACE + frame(4, 0, 0, struct.pack(">HI", 4, 0x7FFFFFFF)) + frame(8, 0, 0, struct.pack(">I", 0x7FFF0000))
    for stream in range(1, 400, 2):
        begin += headers(stream, "GetRecords", len(body)) + frame(0, 1, stream, body)
    held(port, 20, ends, lambda client: send(client, begin), is_open)


def streams_with_headers(port, ends):
    """Two thousand streams a connection, each with large headers and a body that does not come."""
    begin = PREFACE + frame(4, 0, 0)
    begin += b"".join(
        headers(stream, "PutRecords", 1_000, extra=[("x-large", "x" * 8_000)]) for stream in range(1, 4_000, 2)
    )
    state = {}

    def start(client):
        state[client] = send(client, begin) or 0

    def go_on(client):
        if not is_open(client):
            state.pop(client, None)
            return False
        sent = send(client, begin[state[client] : state[client] + (1 << 20)])
        if sent is None:
            return False
        state[client] += sent
        return True

    held(port, 15, ends, start, go_on, pause=0.05)


def idle_connections(port, ends):
    """Opens as many connections of HTTP/2 as the broker takes, and does nothing with them."""
    held(port, 600, ends, lambda client: send(client, PREFACE + frame(4, 0, 0)), is_open)


ATTACKS = [
    announcements,
    slow_bodies,
    unread_answers,
    unread_answers_http2,
    streams_with_headers,
    idle_connections,
]


def call(port, operation, document, timeout=30):
    """A call of a client that behaves: status and document."""
    body = json.dumps(document).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        client.sendall(head(operation, len(body), "Connection: close\r\n") + body)
        answer = b""
        while part := client.recv(1 << 16):
            answer += part
    if not answer:
        raise ConnectionError("closed without an answer")
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest) if rest else None


def iterator(port):
    """An iterator at the oldest record of the stream that is read."""
    wanted = {"StreamName": "attacked", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    return call(port, "GetShardIterator", wanted)[1]["ShardIterator"]


def fill(port):
    """A stream with 20 MB of records."""
    call(port, "CreateStream", {"StreamName": "attacked", "ShardCount": 1})
    while call(port, "DescribeStreamSummary", {"StreamName": "attacked"})[1]["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
        time.sleep(0.05)
    data = base64.b64encode(os.urandom(500_000)).decode()
    for _ in range(4):
        records = [{"Data": data, "PartitionKey": "k"}] * 10
        status, _answer = call(port, "PutRecords", {"StreamName": "attacked", "Records": records})
        assert status == 200


def put_seconds(port, seconds):
    """How long puts of one client take that comes anew for each, for so long; statuses that are not 200."""
    taken, failed = [], []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        try:
            status, answer = call(port, "PutRecord", {"StreamName": "attacked", "Data": "aGk=", "PartitionKey": "k"})
            if status != 200:
                failed.append((status, answer))
        except OSError as error:
            failed.append((0, repr(error)))
        taken.append(time.monotonic() - began)
        time.sleep(0.01)
    return sorted(taken), failed


def resident_mib(pid):
    """MiB of memory that a process has."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return 0
