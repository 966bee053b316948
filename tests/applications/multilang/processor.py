#!/usr/bin/env python3
"""A record processor that MultiLangDaemon starts for each shard: it speaks JSON lines on standard input and output.

Appends one line for each event to the file that the variable EVENTS names: begin SHARD, record SHARD SEQUENCE DATA,
end SHARD, lost SHARD.
"""

import base64
import json
import os
import sys

EVENTS = os.open(os.environ["EVENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(text):
    os.write(EVENTS, f"{text}\n".encode())


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def checkpoint():
    """Checkpoints at the last record that this process was given; the daemon answers before it sends anything else."""
    send({"action": "checkpoint", "sequenceNumber": None, "subSequenceNumber": None})
    answer = json.loads(sys.stdin.readline())
    assert answer["action"] == "checkpoint", answer
    if answer.get("error"):
        note(f"checkpoint failed: {answer['error']}")


def main():
    shard = None
    for line in sys.stdin:
        if not line.strip():
            continue
        message = json.loads(line)
        action = message["action"]
        if action == "initialize":
            shard = message["shardId"]
            note(f"begin {shard}")
        elif action == "processRecords":
            for record in message["records"]:
                note(f"record {shard} {record['sequenceNumber']} {base64.b64decode(record['data']).decode()}")
            if message["records"]:
                checkpoint()
        elif action == "shardEnded":
            note(f"end {shard}")
            checkpoint()
        elif action == "shutdownRequested":
            checkpoint()
        elif action == "leaseLost":
            note(f"lost {shard}")
        send({"action": "status", "responseFor": action})


if __name__ == "__main__":
    main()
