"""Relatives of KCL that read a whole stream: MultiLangDaemon, Camel and Flink."""

import sys
import threading
import time

import pytest

from . import HERE, programs
from .judgement import outcome
from .scenario import Scenario
from .test_kcl import APPLICATION, STREAM

PROPERTIES = """
executableName = {python} {processor}
streamName = {stream}
applicationName = {application}
AWSCredentialsProvider = EnvironmentVariableCredentialsProvider
initialPositionInStream = TRIM_HORIZON
regionName = us-east-1
shardSyncIntervalMillis = 1000
parentShardPollIntervalMillis = 1000
idleTimeBetweenReadsInMillis = 300
retrievalMode = POLLING
"""


class Daemon(programs.Running):
    """MultiLangDaemon, whose record processors write their events to a file."""

    def __init__(self, command, own, directory, number, events):
        self.file = directory / f"events-{number}"
        self.file.touch()
        super().__init__(command, own | {"EVENTS": str(self.file)}, directory / f"daemon-{number}.log", events)
        self.follower = threading.Thread(target=self.follow, daemon=True)
        self.follower.start()

    def follow(self):
        """Takes in lines of the file until the daemon has ended."""
        with open(self.file, encoding="utf-8") as lines:
            part, is_last = "", False
            while True:
                part += lines.read()
                *whole, part = part.split("\n")
                for line in whole:
                    self.note(line)
                if is_last:
                    return
                is_last = self.process.poll() is not None
                time.sleep(0.05)

    def kill(self):
        super().kill()
        self.follower.join(10)

    def stop(self, _last_word):
        """SIGTERM is the daemon's own way to be stopped gracefully."""
        self.assert_alive()
        self.process.terminate()
        self.await_end()
        self.follower.join(10)


@pytest.mark.parametrize("version", ["3.1.3"], ids=lambda version: f"multilang-{version}")
def test_multilang_daemon(version, broker, report, tmp_path):
    command = programs.java("multilang", "software.amazon.kinesis.multilang.MultiLangDaemon", multilang=version)
    processor = HERE / "multilang" / "processor.py"
    filled = {"python": sys.executable, "processor": processor, "stream": STREAM, "application": APPLICATION}
    properties = tmp_path / "daemon.properties"
    properties.write_text(PROPERTIES.format(**filled))
    own = programs.variables(broker.endpoint, tmp_path)
    numbers = iter(range(100))

    def start(events):
        return Daemon([*command, "--properties-file", properties], own, tmp_path, next(numbers), events)

    scenario = Scenario(STREAM, APPLICATION, broker.endpoint, start)
    try:
        scenario.create_stream()
        scenario.begin()
        scenario.split()
        scenario.kill_worker()
        scenario.merge()
        report(f"multilang-{version}", scenario.stop(), "split, daemon killed, merge")
    finally:
        scenario.discard()


def read_all(name, command, broker, report, directory):
    """A program without record processors, which reads across a split and a merge until it is killed."""
    own = programs.variables(broker.endpoint, directory)
    scenario = Scenario(
        STREAM, APPLICATION, broker.endpoint, lambda events: programs.Running(command, own, directory / "log", events)
    )
    try:
        scenario.create_stream()
        scenario.begin_to_put()
        scenario.workers.append(scenario.start_worker(scenario.events))
        scenario.read_on()
        scenario.split(has_processors=False)
        scenario.merge(has_processors=False)
        scenario.producer.stop()
        acknowledged = scenario.producer.snapshot()
        scenario.until("every record has been read", lambda: not scenario.unread(acknowledged))
        report(name, outcome(acknowledged, scenario.events), "split, merge")
    finally:
        scenario.discard()


@pytest.mark.parametrize("version", ["4.10.2"], ids=lambda version: f"camel-{version}")
def test_camel(version, broker, report, tmp_path):
    command = [*programs.java("camel", "Route", camel=version), STREAM, broker.endpoint]
    read_all(f"camel-{version}", command, broker, report, tmp_path)


@pytest.mark.parametrize(
    ("version", "connector"), [("1.20.1", "5.0.0-1.20")], ids=["flink-1.20.1"]
)
def test_flink(version, connector, broker, report, tmp_path):
    command = programs.java("flink", "Job", flink=version, connector=connector)
    arn = f"arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}"
    read_all(f"flink-{version}", [*command, arn, broker.endpoint], broker, report, tmp_path)
