"""Clients that read while faults go on: they poll or are pushed to through any node, and go on after every failure."""

import base64
import random
import threading
import time

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from clients.following import Poller, Subscriber
from clients.program import CallFailed

from .load import REPROACHES, code

# How long a reader may get no answer by any node before that is a failure of the cluster.
PATIENCE_SECONDS = 60
# A subscription tells something every five seconds; consumers of AWS's give up after 35.
SILENCE_SECONDS_MAX = 20
POLL_SECONDS_BETWEEN = 0.1


class CallsByBoto3:
    """Calls operations as a client program does, in this process."""

    def __init__(self, client):
        self.client = client

    def call(self, operation, **members):
        try:
            answer = getattr(self.client, xform_name(operation))(**members)
        except (BotoCoreError, ClientError) as error:
            raise CallFailed(operation, code(error) or type(error).__name__, str(error)) from error
        for record in answer.get("Records", []):
            record["Data"] = base64.b64encode(record["Data"]).decode()
            record["ApproximateArrivalTimestamp"] = record["ApproximateArrivalTimestamp"].timestamp()
        return answer


class Anywhere:
    """Calls through a random one of several callers, each of which prefers another node."""

    def __init__(self, callers, seed):
        self.callers, self.generator = callers, random.Random(seed)

    def call(self, operation, **members):
        """The answer of whichever node gives one; what says that the client is wrong is passed on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.generator.choice(self.callers).call(operation, **members)
            except CallFailed as failure:
                if failure.code in REPROACHES or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def subscribe(self, **members):
        return self.generator.choice(self.callers).subscribe(**members)


class PatientSubscriber(Subscriber):
    """Subscribes again, through any node, after a subscription has ended for whatever reason, or is silent."""

    def __init__(self, *arguments):
        self.heard = {}
        super().__init__(*arguments)

    def begin(self, shard):
        self.heard[shard] = time.monotonic()
        super().begin(shard)

    def begin_again(self, shard):
        super().begin_again(shard)
        self.heard[shard] = time.monotonic()

    def may_break_off(self, failure):
        return failure is None or failure.code not in REPROACHES

    def take(self, shard):
        taken = super().take(shard)
        if taken:
            self.heard[shard] = time.monotonic()
        elif time.monotonic() > self.heard[shard] + SILENCE_SECONDS_MAX:
            self.begin_again(shard)
        return taken


class Reader:
    """Follows a stream in a thread, until it is told how many records there are."""

    def __init__(self, name, following):
        self.name, self.following, self.target, self.error = name, following, None, None
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while self.target is None:
                if isinstance(self.following, Poller):
                    self.following.poll()
                    time.sleep(POLL_SECONDS_BETWEEN)
                else:
                    self.following.turn()
            finish = getattr(self.following, "drain", None) or self.following.receive
            finish(self.target)
        except BaseException as error:
            self.error = error

    def check(self):
        if self.error is not None:
            raise AssertionError(f"{self.name} has failed: {self.error!r}") from self.error

    def finish(self, count):
        """Waits for so many records and returns them."""
        self.target = count
        self.thread.join(3 * PATIENCE_SECONDS)
        self.check()
        assert not self.thread.is_alive(), f"{self.name} has read {len(self.following.records)} of {count} records"
        return self.following.records
