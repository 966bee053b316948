"""Fixtures of the applications: a broker for each test, and the table of what was read."""

import os
import time

import pytest

from clients.broker import ROOT, Broker

# A proxy for the registries must not come between a client and a loopback address.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
TABLE = ROOT / "tests" / ".cache" / "logs" / "applications.md"


def pytest_addoption(parser):
    parser.addoption("--step", help="run the test with this parameter alone")


def pytest_collection_modifyitems(config, items):
    if step := config.getoption("--step"):
        items[:] = [item for item in items if getattr(getattr(item, "callspec", None), "id", None) == step]


@pytest.fixture
def broker(tmp_path):
    """A broker without limits, for one test."""
    process = Broker(tmp_path / "broker").start()
    yield process
    process.stop()


@pytest.fixture
def report():
    """Adds a row to the table of outcomes, which `tests/run --all` prints at its end."""
    began = time.monotonic()

    def add(name, outcome, remark=""):
        minutes = (time.monotonic() - began) / 60
        figures = f"{outcome.acknowledged:,} | {outcome.missing} | {outcome.again:,}"
        row = f"| {name} | {figures} | {minutes:.1f} | {remark} |"
        print(row)
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        with open(TABLE, "a", encoding="utf-8") as table:
            table.write(row + "\n")

    return add


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Shows the end of the broker's log with a failure."""
    report = yield
    process = getattr(item, "funcargs", {}).get("broker")
    if report.failed and process is not None:
        report.sections.append(("log of the broker", process.log_end()))
    return report
