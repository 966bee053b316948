"""KCL 1, 2 and 3 with Tidelog alone, through the whole scenario; KCL 1 and 3 with faulty lease tables too."""

from dataclasses import dataclass

import pytest

from . import programs
from .proxies import FaultyTables
from .scenario import Scenario

STREAM, APPLICATION = "clicks", "application"
THROTTLED_SHARE, FAILED_SHARE, SEED = 0.3, 0.1, 7


@dataclass(frozen=True)
class Library:
    """One version of KCL and the way in which it reads."""

    name: str
    folder: str
    version: str
    options: tuple = ("metrics", "patient")
    # KCL 2.7 never finishes a graceful stop while it has the lease of a shard that has ended.
    last_word: str = "stopped"

    def command(self):
        return programs.java(self.folder, "Worker", kcl=self.version)

    def starter(self, endpoint, directory, tables=None):
        """Returns a function that starts a worker against these endpoints."""
        command, count = self.command(), iter(range(100))

        def start(events):
            log = directory / f"worker-{next(count)}.log"
            if self.folder == "kcl1":
                words = [*command, STREAM, APPLICATION, endpoint, tables or endpoint]
                own = programs.variables(endpoint, directory)
            else:
                words = [*command, STREAM, APPLICATION, *self.options]
                own = programs.variables(endpoint, directory, AWS_ENDPOINT_URL_DYNAMODB=tables or endpoint)
            return programs.Running(words, own, log, events)

        return start


LIBRARIES = [
    Library("kcl-3.5.1-fan-out", "kcl", "3.5.1"),
    Library("kcl-3.5.1-polling", "kcl", "3.5.1", ("metrics", "patient", "polling")),
    Library("kcl-3.4.2", "kcl", "3.4.2"),
    Library("kcl-2.7.2", "kcl", "2.7.2", last_word="late"),
    Library("kcl-1.15.3", "kcl1", "1.15.3"),
]
BY_NAME = {library.name: library for library in LIBRARIES}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_two_workers_a_split_a_kill_and_a_merge(library, broker, report, tmp_path):
    scenario = Scenario(STREAM, APPLICATION, broker.endpoint, library.starter(broker.endpoint, tmp_path))
    try:
        scenario.create_stream()
        scenario.begin()
        scenario.split()
        scenario.kill_worker()
        scenario.merge()
        report(library.name, scenario.stop(last_word=library.last_word), "split, worker killed, merge")
    finally:
        scenario.discard()


@pytest.mark.parametrize("name", ["kcl-3.5.1-polling", "kcl-1.15.3"], ids=lambda name: f"faulty-tables-{name}")
def test_throttled_and_failing_calls_of_lease_tables(name, broker, report, tmp_path):
    library = BY_NAME[name]
    tables = FaultyTables(broker.endpoint, THROTTLED_SHARE, FAILED_SHARE, SEED)
    start = library.starter(broker.endpoint, tmp_path, tables.endpoint)
    scenario = Scenario(STREAM, APPLICATION, broker.endpoint, start)
    try:
        scenario.create_stream()
        scenario.begin()
        scenario.split()
        scenario.merge()
        outcome = scenario.stop()
        assert tables.counts["throttled"] > 20 and tables.counts["failed"] > 5, tables.counts
        remark = "calls of tables: {passed} passed, {throttled} throttled, {failed} failed".format(**tables.counts)
        report(f"{name}, faulty tables", outcome, remark)
    finally:
        scenario.discard()
        tables.close()


@pytest.mark.parametrize("name", ["kcl-3.5.1-fan-out", "kcl-1.15.3"], ids=lambda name: f"broker-killed-{name}")
def test_the_broker_is_killed(name, broker, report, tmp_path):
    """The broker is killed and started again three times: before a split, between the reshards, and after a merge."""
    library = BY_NAME[name]
    scenario = Scenario(STREAM, APPLICATION, broker.endpoint, library.starter(broker.endpoint, tmp_path))

    def kill_broker():
        broker.restart_after_kill9()
        scenario.say("the broker was killed")
        scenario.read_on()

    try:
        scenario.create_stream()
        scenario.begin()
        kill_broker()
        scenario.split()
        kill_broker()
        scenario.merge()
        kill_broker()
        report(f"{name}, broker killed", scenario.stop(), "split, merge, broker killed three times")
    finally:
        scenario.discard()
