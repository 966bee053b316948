#!/usr/bin/env python3
"""Kills a broker at random moments under load, for as long as asked; not part of the tests.

    tests/.cache/venv/bin/python tests/stress/kill9.py --minutes 60

Every round takes a new stream on the same broker and data directory, so recovery has ever more to recover.
All earlier streams are read and compared again now and then. The seed of each round is printed; on a
violation the data directory and the logs are kept, and the exit code is 1.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clients import boto3_client, checker, data_set  # noqa: E402
from clients.broker import Broker  # noqa: E402
from clients.kill9 import run_round  # noqa: E402

ROUNDS_BETWEEN_COMPARISONS = 5


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--kills", type=int, default=6, help="kills per round")
    parser.add_argument("--shards", type=int, default=data_set.SHARDS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--directory", help="where data and logs go; a temporary directory otherwise")
    return parser.parse_args()


def run(broker, arguments, rows):
    """Rounds until the time is over; each keeps what it read for later comparisons."""
    generator = random.Random(arguments.seed)
    deadline = time.monotonic() + arguments.minutes * 60
    finished, number = {}, 0
    while time.monotonic() < deadline:
        stream, started = f"round-{number:05}", time.monotonic()
        boto3_client.create_stream(boto3_client.connect(broker.endpoint), stream, arguments.shards)
        acknowledged, read = run_round(broker, stream, rows, generator, arguments.kills)
        finished[stream] = boto3_client.read_all(broker.endpoint, stream)[0]
        seconds = time.monotonic() - started
        print(f"{stream}: {acknowledged} acknowledged, {read} read, {seconds:.0f} s", flush=True)
        number += 1
        if number % ROUNDS_BETWEEN_COMPARISONS == 0:
            compare_again(broker, finished)
    compare_again(broker, finished)
    return number


def compare_again(broker, finished):
    """No finished stream may have changed by a single record."""
    for stream, before in finished.items():
        after = boto3_client.read_all(broker.endpoint, stream)[0]
        checker.assert_no_violations(checker.check_still_there(before, after))
        assert len(after) == len(before), f"{stream} has grown from {len(before)} to {len(after)} records"
    print(f"{len(finished)} earlier streams are unchanged", flush=True)


def main():
    arguments = parse_arguments()
    directory = Path(arguments.directory or tempfile.mkdtemp(prefix="tidelog-stress-"))
    print(f"seed {arguments.seed}, directory {directory}", flush=True)
    broker = Broker(directory).start()
    try:
        rounds = run(broker, arguments, data_set.load_rows())
        broker.stop()
    except BaseException as error:
        broker.discard()
        print(f"failed: {error}\nkept: {directory}\n{broker.log_end()}", flush=True)
        if isinstance(error, Exception):
            return 1
        raise
    if arguments.directory is None:
        shutil.rmtree(directory)
    print(f"{rounds} rounds without a violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
