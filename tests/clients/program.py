"""Speaks with a client program: one process around one SDK that calls the operations it is told to.

A program knows nothing of what is tested. It reads one JSON object per line on its standard input and
answers by lines on its standard output:

    → {"id": 1, "operation": "PutRecord", "input": {"StreamName": "s", "PartitionKey": "k", "Data": "AAH/"}}
    ← {"id": 1, "output": {"ShardId": "shardId-000000000000", "SequenceNumber": "4968…"}}
    ← {"id": 2, "error": {"code": "ResourceNotFoundException", "message": "Stream s …", "class": "…"}}
    ← {"id": 3, "event": {"Records": […], …}}

Names are those of the service, blobs are base64, timestamps are ISO 8601 going in and that or seconds coming
out, and absent members are left out or null. `class` is the type the SDK made of an error, where it has
types. SubscribeToShard prints an `event` for each that arrives, then `output` or `error` when the stream has
ended. StreamExists and StreamNotExists are the SDK's waiters. Requests may come while others are under way.
A program ends with its standard input. Everything else (endpoint, credentials, whom to trust, no retries)
comes from the environment variables that the SDK knows by itself.
"""

import itertools
import json
import queue
import subprocess
import threading

CALL_SECONDS_MAX = 60
END_SECONDS_MAX = 10


class CallFailed(Exception):
    """The answer was an error, or there was none; `code` is AWS's name of it."""

    def __init__(self, operation, code, message, class_name=None):
        super().__init__(f"{operation}: {code}: {message}")
        self.code, self.message, self.class_name = code, message, class_name


class Program:
    """A running client program."""

    def __init__(self, words, environment, log):
        self.log = log
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                list(map(str, words)),
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.numbers, self.answers, self.lock = itertools.count(1), {}, threading.Lock()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        """Hands each line to whoever waits for it; the program's end is told to all."""
        try:
            for line in self.process.stdout:
                answer = json.loads(line)
                self.answers[answer["id"]].put(answer)
        finally:
            with self.lock:
                self.process.stdout.close()
                for waiting in self.answers.values():
                    waiting.put({"error": {"code": "ProgramEnded", "message": self.log_end()}})

    def send(self, operation, members):
        """Starts a call; the queue its answers will be in."""
        with self.lock:
            assert not self.process.stdout.closed, f"the program has ended\n{self.log_end()}"
            number, answers = next(self.numbers), queue.Queue()
            self.answers[number] = answers
            line = json.dumps({"id": number, "operation": operation, "input": members})
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        return answers

    def call(self, operation, **members):
        """The output of one operation, without what is null."""
        answers = self.send(operation, members)
        try:
            return outcome(operation, answers.get(timeout=CALL_SECONDS_MAX))
        except queue.Empty:
            raise CallFailed(operation, "NoAnswer", f"none within {CALL_SECONDS_MAX} s") from None

    def subscribe(self, **members):
        """A subscription, which may yet turn out to be refused."""
        return Subscription(self.send("SubscribeToShard", members))

    def close(self):
        """Ends the program, which must come in time and with exit code 0."""
        self.process.stdin.close()
        try:
            code = self.process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the program did not end\n{self.log_end()}") from None
        self.reader.join(END_SECONDS_MAX)
        assert code == 0, f"the program ended with exit code {code}\n{self.log_end()}"

    def log_end(self, bytes_max=4000):
        """The end of what the program wrote to standard error, unless that has been removed meanwhile."""
        try:
            return self.log.read_bytes()[-bytes_max:].decode(errors="replace")
        except FileNotFoundError:
            return ""


class Subscription:
    """Events of one SubscribeToShard call, in the order in which they came."""

    def __init__(self, answers):
        self.answers = answers

    def next(self, seconds):
        """The next event, or None once the stream has ended; queue.Empty if nothing came in time."""
        answer = self.answers.get(block=seconds > 0, timeout=seconds)
        if "event" in answer:
            return without_nulls(answer["event"])
        outcome("SubscribeToShard", answer)
        return None


def outcome(operation, answer):
    if "error" in answer:
        error = answer["error"]
        raise CallFailed(operation, error["code"], error.get("message"), error.get("class"))
    return without_nulls(answer.get("output") or {})


def without_nulls(value):
    """Clients in typed languages print members that were not sent as null; here they are absent."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
