"""`tidelog bench`, against our broker and against the published kinesalite package (kinesalite/package.json)."""

import json
import os
import re
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


DATA = re.compile(r'(id="report">)(.*?)(</script>)', re.DOTALL)
CHARTS = ["Latency over time", "Latency by percentile", "Put to consumer over time", "Throughput", "Throughput per shard"]


class TestPrograms:
    """The programs of benches/, for a second each: they still work against the broker of today."""

    @pytest.mark.parametrize("name", ["fan_out", "lease_tables"])
    def test_a_short_run_ends_with_figures(self, binary, broker, name):
        shortened = {"fan_out": [], "lease_tables": ["--leases", "10", "--rounds", "1"]}[name]
        endpoint = broker.endpoint.removeprefix("http://")
        words = [binary.with_name(name), "--endpoint", endpoint, "--seconds", "1", *shortened]
        done = subprocess.run(words, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="class")
def page(binary, broker, tmp_path_factory):
    """The page of a run with a consumer."""
    need("node")
    path = tmp_path_factory.mktemp("page") / "report.html"
    code, _, words = bench(binary, broker.endpoint, "--consumers", "1", "--html", path)
    assert code == 0, words
    return path.read_text()


class TestPage:
    """The page of a run, drawn by its script without a browser (report_page.mjs)."""

    def drawn(self, page, directory, change=lambda report: None):
        """The drawn page, after a change of its data."""
        _, data, _ = DATA.search(page).groups()
        report = json.loads(data)
        change(report)
        data = json.dumps(report).replace("<", "\\u003c")
        path = directory / "changed.html"
        path.write_text(DATA.sub(lambda match: match[1] + data + match[3], page))
        words = ["node", str(HERE / "report_page.mjs"), str(path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)
        assert done.returncode == 0, done.stderr
        for wrong in ("NaN", "Infinity", "undefined", ">null<", "[object"):
            assert wrong not in done.stdout, wrong
        return done.stdout

    def test_each_chart_is_there_for_wide_and_narrow_pages(self, page, tmp_path):
        drawn = self.drawn(page, tmp_path)
        assert [title for title in re.findall("<h2>(.*?)</h2>", drawn)][:5] == CHARTS
        assert drawn.count("<svg") == 2 * len(CHARTS) and drawn.count('<div class="narrow"><svg') == len(CHARTS)
        assert "Verified: each of 1,600 acknowledged records" in drawn and 'class="verdict good"' in drawn
        assert "the other run" not in drawn
        assert "<th>Acknowledged</th><td>1,200</td>" in drawn and "<th>Consumers</th><td>1, polling</td>" in drawn

    def test_two_runs_stand_side_by_side(self, page, tmp_path):
        drawn = self.drawn(page, tmp_path, lambda report: report["runs"].append(report["runs"][0]))
        assert drawn.count("<svg") == 2 * len(CHARTS)
        percentiles = drawn.split("<h2>Latency by percentile</h2>")[1].split("<section>")[0]
        for ink in ("--run", "--run-soft", "--other", "--other-soft"):
            assert f'stroke="var({ink})"' in percentiles, ink
        assert "<th>Acknowledged</th><td>1,200</td><td>1,200</td>" in drawn

    def test_texts_are_no_html(self, page, tmp_path):
        def break_out(report):
            report["runs"][0]["errors"] = [{"what": "</script><script>alert(1)</script>", "records": 3}]

        drawn = self.drawn(page, tmp_path, break_out)
        assert "<td>&lt;/script>&lt;script>alert(1)" in drawn and "<script" not in drawn

    def test_a_run_without_an_answer_has_no_charts(self, page, tmp_path):
        def end(report):
            report["runs"][0] |= {"latency_ms": None, "end_to_end_ms": None, "seconds": [], "shards": []}

        drawn = self.drawn(page, tmp_path, end)
        assert "<svg" not in drawn and "<h2>Records</h2>" in drawn

    def test_a_second_without_an_answer_divides_its_line(self, page, tmp_path):
        def pause(report):
            second = report["runs"][0]["seconds"][0]
            report["runs"][0]["seconds"] = [second, second, second | {"latency_ms": None}, second]

        latencies = self.drawn(page, tmp_path, pause).split("<h2>Latency by percentile</h2>")[0]
        # Three lines, wide and narrow: two seconds as a line, and the one behind the gap as a point.
        assert latencies.count("<polyline") == latencies.count("<circle") == 6


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
