"""A client program on boto3; program.py describes the lines."""

import base64
import datetime
import json
import sys
import threading

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

CLIENT = boto3.client("kinesis", config=Config(max_pool_connections=64))
WAITERS = {"StreamExists": "stream_exists", "StreamNotExists": "stream_not_exists"}
LOCK = threading.Lock()


def plain(value):
    """Converts the types that JSON lacks: bytes and timestamps."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    raise TypeError(f"no form for {value!r}")


def typed(members):
    """The data of records as bytes."""
    if "Data" in members:
        members["Data"] = base64.b64decode(members["Data"])
    return members


def print_line(**line):
    with LOCK:
        print(json.dumps(line, default=plain), flush=True)


def call(number, operation, members):
    """The output of an operation; events are printed as they come."""
    if operation in WAITERS:
        CLIENT.get_waiter(WAITERS[operation]).wait(**members)
        return {}
    output = getattr(CLIENT, xform_name(operation))(**members)
    output.pop("ResponseMetadata")
    if operation == "SubscribeToShard":
        for event in output["EventStream"]:
            print_line(id=number, event=event["SubscribeToShardEvent"])
        return {}
    return output


def answer(line):
    request = json.loads(line, object_hook=typed)
    number = request["id"]
    try:
        print_line(id=number, output=call(number, request["operation"], request["input"]))
    except ClientError as error:
        told = error.response["Error"]
        # An event stream's errors carry no class of their own in botocore.
        name = type(error).__name__ if type(error) is CLIENT.exceptions.from_code(told["Code"]) else None
        print_line(id=number, error={"code": told["Code"], "message": told["Message"], "class": name})
    except Exception as error:
        print_line(id=number, error={"code": type(error).__name__, "message": str(error)})


for line in sys.stdin:
    # Daemons, so that a stream of events that is still open does not keep the process alive.
    threading.Thread(target=answer, args=(line,), daemon=True).start()
