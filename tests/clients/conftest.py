"""Fixtures for all client tests: the data set, and brokers that live as long as a class or a test."""

import os
import shutil

import pytest

from . import data_set
from .broker import Broker

# A proxy for the registries must not come between a client and a loopback address.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


@pytest.fixture(scope="session")
def rows():
    return data_set.load_rows()


def run_broker(request, directory, limits):
    """Starts a broker and ends it in order; its data stays only if a test failed meanwhile."""
    failed_before = request.session.testsfailed
    process = Broker(directory, limits).start()
    yield process
    process.stop()
    if request.session.testsfailed == failed_before:
        shutil.rmtree(directory)


@pytest.fixture(scope="class")
def broker(request, tmp_path_factory):
    """A broker without limits, for all tests of a class."""
    yield from run_broker(request, tmp_path_factory.mktemp("broker"), "off")


@pytest.fixture
def limited_broker(request, tmp_path_factory):
    """A broker with the limits of AWS, as it runs by default, for one test."""
    yield from run_broker(request, tmp_path_factory.mktemp("limited-broker"), "aws")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Shows the end of the broker's log with a failure."""
    report = yield
    if report.failed:
        for name in ("broker", "limited_broker"):
            process = getattr(item, "funcargs", {}).get(name)
            if isinstance(process, Broker):
                report.sections.append((f"log of {name}", process.log_end()))
    return report
