"""The short run of faults on three real nodes; what it needs of the machine is in the text of `run --help`."""

import subprocess
import sys
from pathlib import Path

from clients.availability import missing

RUN = Path(__file__).parent / "run"
SECONDS_MAX = 400


def test_three_nodes_through_one_fault_of_a_few_kinds():
    check = subprocess.run([sys.executable, RUN, "--check"], capture_output=True, text=True)
    if check.returncode != 0:
        missing(f"{check.stdout}{check.stderr}".strip())
    words = [sys.executable, RUN, "--short"]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX
    )
    print(done.stdout)
    assert done.returncode == 0
