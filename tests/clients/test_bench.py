"""`tidelog bench`, against our broker and against the published kinesalite package (kinesalite/package.json)."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .availability import missing
from .broker import ROOT, Broker
from .clients import HERE, installed, need, run

RUN_SECONDS_MAX = 120
STREAM = ["--create", "--shards", "2"]
LOAD = ["--rate", "400", "--batch", "10", "--producers", "4"]
TIMES = ["--warm-up", "1s", "--duration", "3s"]


@pytest.fixture(scope="session")
def binary():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "debug" / "tidelog"
    if not path.exists():
        missing("tidelog bench (cargo build)")
    return path


def kinesalite_sources():
    return [HERE / "kinesalite" / name for name in ("package.json", "package-lock.json")]


@pytest.fixture(scope="module")
def kinesalite(tmp_path_factory):
    """A running kinesalite, which keeps its streams in memory."""

    def install(directory):
        for path in kinesalite_sources():
            shutil.copy(path, directory)
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", directory=directory)

    need("node", "npm")
    directory = installed("kinesalite", kinesalite_sources(), install)
    program = directory / "node_modules" / ".bin" / "kinesalite"
    quick = ["--createStreamMs", "20", "--deleteStreamMs", "20"]
    command = ["node", str(program), "--port", "{port}", *quick]
    process = Broker(tmp_path_factory.mktemp("kinesalite"), command=command).start()
    yield process
    process.stop()


def bench(binary, endpoint, *arguments, load=LOAD):
    """Exit code, result and words of a run."""
    words = [binary, "bench", "--endpoint", endpoint, "--json", "-", *STREAM, *load, *TIMES, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, env=environment)
    assert done.stdout, f"no result\n{done.stderr}"
    return done.returncode, json.loads(done.stdout), done.stderr


def assert_clean(outcome, consumers):
    code, result, words = outcome
    assert code == 0, words
    assert words.startswith("Verified: each of 1,600 acknowledged records was read exactly once, in order"), words
    verdict = result["verification"]["verdict"]
    assert verdict["acknowledged"] == 1600 and verdict["readings"] == max(consumers, 1)
    records = result["records"]
    assert records["acknowledged"] == records["sent"] == 1200
    assert records["received"] == 1200 * consumers
    assert len(result["shards"]) == 2 and sum(shard["acknowledged"] for shard in result["shards"]) == 1200
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"] <= result["latency_ms"]["max"]
    if consumers:
        assert result["end_to_end_ms"]["count"] == records["received"]


class TestTidelog:
    @pytest.mark.parametrize("how", ["polling", "fan-out"])
    def test_consumers_read_everything(self, binary, broker, how):
        assert_clean(bench(binary, broker.endpoint, "--consumers", "2", "--consume", how), 2)

    def test_records_are_read_back(self, binary, broker):
        assert_clean(bench(binary, broker.endpoint), 0)

    def test_limits_are_seen_as_throttles(self, binary, limited_broker):
        load = ["--rate", "6000", "--batch", "50", "--size", "100"]
        code, result, words = bench(binary, limited_broker.endpoint, load=load)
        assert code == 0, words
        assert result["records"]["throttled"] > 0
        # Two shards take a thousand records a second each, and what they have saved up while idle.
        assert 1500 < result["records_per_s"] < 4500
        assert sum(second["throttled"] for second in result["seconds"]) == result["records"]["throttled"]


class TestKinesalite:
    def test_records_are_read_back(self, binary, kinesalite):
        assert_clean(bench(binary, kinesalite.endpoint), 0)

    def test_a_consumer_reads_everything(self, binary, kinesalite):
        assert_clean(bench(binary, kinesalite.endpoint, "--consumers", "1"), 1)

    def test_missing_parts_are_named(self, binary, kinesalite):
        words = [binary, "bench", "--endpoint", kinesalite.endpoint, *STREAM, *LOAD, *TIMES]
        words += ["--consumers", "1", "--consume", "fan-out"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)
        assert done.returncode == 1
        assert done.stderr.startswith("tidelog: consumers could not begin: RegisterStreamConsumer"), done.stderr
        assert done.stdout == ""
