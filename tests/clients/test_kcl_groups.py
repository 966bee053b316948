"""`tidelog group` and an application of the Kinesis Client Library: its lag is seen, and it is sent back."""

import json
import subprocess

from .broker import default_command
from .test_lease_tables import Running, client, until, worker  # noqa: F401


def group(broker, *arguments):
    command = [default_command()[0], "group", *arguments, "--endpoint", broker.endpoint]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def listed(broker, name):
    rows = json.loads(group(broker, "list", "--output", "json").stdout)
    return next((row for row in rows if row["name"] == name), None)


class TestGroups:
    """KCL 3.5.1 with fan-out, which its consumer's name gives away."""

    def test_an_application_is_seen_with_its_lag_and_sent_back(self, broker, worker, tmp_path):  # noqa: F811
        kinesis = client(broker, "kinesis")
        kinesis.create_stream(StreamName="seen", ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName="seen", WaiterConfig={"Delay": 1})
        workers = [Running(worker, broker, tmp_path, "seen", "seen-application")]

        def read(running):
            return [words[3] for words in running.lines if words[0] == "record"]

        def put(numbers):
            for number in numbers:
                kinesis.put_record(StreamName="seen", PartitionKey=number, Data=number.encode())

        try:
            until("the first lease", workers, lambda: any(words[0] == "begin" for words in workers[0].lines))
            first = [str(number) for number in range(20)]
            put(first)
            until("the records", workers, lambda: set(read(workers[0])) == set(first))
            row = listed(broker, "seen-application")
            assert (row["kind"], row["stream"]) == ("kcl", "seen")
            until("a living worker", workers, lambda: listed(broker, "seen-application")["members"] == 1)
            refused = group(broker, "reset", "seen-application", "--to", "trim")
            assert refused.returncode == 1, refused
            workers[0].stop()
            put(["late"])
            assert listed(broker, "seen-application")["records_behind"] == 1
            trial = group(broker, "reset", "seen-application", "--to", "trim", "--dry-run")
            assert trial.returncode == 0 and "TRIM_HORIZON" in trial.stdout, trial

            def is_reset():
                return group(broker, "reset", "seen-application", "--to", "trim").returncode == 0

            until("the reset, once no lease was renewed for 30 s", workers, is_reset)
            assert listed(broker, "seen-application")["records_behind"] == 21
            workers.append(Running(worker, broker, tmp_path, "seen", "seen-application"))
            until("everything again", workers, lambda: set(read(workers[1])) == {*first, "late"})
            workers[1].stop()
        finally:
            for running in workers:
                running.kill()
