"""KPL, which calls Kinesis, CloudWatch and STS of Tidelog by TLS; KCL 3 reads its aggregated records."""

import subprocess
import urllib.request

import pytest

from clients.broker import default_command

from . import programs
from .scenario import Scenario
from .test_kcl import APPLICATION, BY_NAME, STREAM

VERSIONS = ["1.1.1", "1.0.4"]
MILLISECONDS_BETWEEN_PUTS = 100


class Producer(programs.Running):
    """The program of the tests on KPL; its acknowledgements are those of KPL's futures."""

    def __init__(self, version, broker, directory):
        certificates = directory / "certificates"
        words = [default_command()[0], "ca", "--data", str(broker.directory / "data"), "--hashed", str(certificates)]
        subprocess.run(words, check=True, capture_output=True)
        command = programs.java("kpl", "Producer", kpl=version)
        words = [*command, STREAM, broker.port, certificates, MILLISECONDS_BETWEEN_PUTS]
        # The process that KPL unpacks stays in the test's directory.
        words.insert(1, f"-Djava.io.tmpdir={directory}")
        super().__init__(words, programs.variables(broker.endpoint, directory), directory / "kpl.log", [])

    def snapshot(self):
        return {words[1] for words in self.words("acknowledged")}

    def assert_alive(self):
        if not self.process.stdin.closed:
            super().assert_alive()

    def stop(self):
        super().stop()
        assert not self.words("failed"), self.words("failed")[:5]


def series(broker, namespace):
    """The series of the metrics that came with that namespace."""
    with urllib.request.urlopen(f"{broker.endpoint}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    of_applications = [line for line in lines if line.startswith("tidelog_application_metric")]
    return [line for line in of_applications if f'namespace="{namespace}"' in line]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"kpl-{version}")
def test_aggregated_records_are_read_by_kcl(version, broker, report, tmp_path):
    start = BY_NAME["kcl-3.5.1-polling"].starter(broker.endpoint, tmp_path)
    producers = []

    def start_producer():
        producers.append(Producer(version, broker, tmp_path))
        return producers[0]

    scenario = Scenario(STREAM, APPLICATION, broker.endpoint, start, start_producer)
    try:
        scenario.create_stream()
        scenario.begin(workers=1)
        scenario.split()
        scenario.merge()
        report(f"kpl-{version}", scenario.stop(), "read by kcl-3.5.1-polling; split, merge")
        assert series(broker, "KinesisProducerLibrary"), "the metrics of KPL have not come"
        assert series(broker, APPLICATION), "the metrics of KCL have not come"
    finally:
        scenario.discard()
        for producer in producers:
            producer.kill()
