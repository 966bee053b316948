"""A client program on the aws command line; program.py describes the lines.

Each call is a process of its own that runs what the command `aws` runs. It is forked from this one, in which
the command's modules and models are loaded already: they take most of the time of a call otherwise. The
command line has no SubscribeToShard. Its version 1 takes the data of a JSON document as text and encodes it
itself, so bytes of any kind go by `--data fileb://`.
"""

import base64
import json
import os
import re
import sys
import tempfile

import awscli.clidriver
from botocore import xform_name

DRIVER = awscli.clidriver.create_clidriver()
# Fills the session's caches: the service model, the rules of endpoints, the waiters.
DRIVER.session.create_client("kinesis").waiter_names

WAITERS = {"StreamExists": "stream-exists", "StreamNotExists": "stream-not-exists"}
# `An error occurred (Code) when calling the X operation: text`
ERROR = re.compile(r"An error occurred \((\w+)\) when calling the \w+ operation[^:]*: (.*)", re.DOTALL)


def words(operation, members, record):
    """The arguments of one call; the data of a single record goes through a file."""
    command = ["wait", WAITERS[operation]] if operation in WAITERS else [xform_name(operation, "-")]
    if operation == "PutRecord":
        record.write(base64.b64decode(members.pop("Data")))
        record.flush()
        command += ["--data", f"fileb://{record.name}"]
    for entry in members.get("Records", []):
        entry["Data"] = base64.b64decode(entry["Data"]).decode()
    # One call is one request, as with the other clients.
    paginate = [] if operation in WAITERS else ["--no-paginate"]
    return ["kinesis", *command, *paginate, "--cli-input-json", json.dumps(members)]


def run(arguments):
    """Runs `aws` in a child process: its exit code and what it wrote to standard output and error."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            code = 255
            try:
                code = DRIVER.main(arguments)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        written = [file.seek(0) or file.read().decode() for file in (output, errors)]
    return code, *written


def answer(number, operation, members):
    with tempfile.NamedTemporaryFile() as record:
        code, output, errors = run(words(operation, members, record))
    if code == 0:
        return {"id": number, "output": json.loads(output) if output.strip() else {}}
    told = ERROR.search(errors.strip())
    code, message = told.groups() if told else (f"ExitCode{code}", output + errors)
    return {"id": number, "error": {"code": code, "message": message}}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(answer(request["id"], request["operation"], request["input"])), flush=True)
