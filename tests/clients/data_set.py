"""The data set of the tests with kill -9, how many shards and consumers it has, and how often they kill.

It is the table of airports that ships in the package vega_datasets: 3,376 rows, keyed by state.
A record's data is a row's line as it stands in the file, so no two rows have the same bytes.
"""

import base64
import csv
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

SHARDS = 4
CONSUMERS = 3
TABLE = "_data/airports.csv"
KEY_COLUMN = "state"

# The command line client starts a process per call, so it puts a slice.
ROWS_OF_THE_COMMAND_LINE = 360

# How often a broker is killed under load by each client, and how long it lives between two kills.
KILLS = 4
SECONDS_BETWEEN_KILLS = (0.3, 1.8)


@dataclass(frozen=True)
class Row:
    """A partition key and the bytes that go with it."""

    key: str
    data: bytes


def load_rows():
    """All rows of the data set in the order of the file."""
    package = importlib.util.find_spec("vega_datasets")
    if package is None:
        raise RuntimeError("the package vega_datasets is not installed: see tests/requirements-data.txt")
    lines = (Path(package.origin).parent / TABLE).read_bytes().splitlines()
    column = next(csv.reader([lines[0].decode()])).index(KEY_COLUMN)
    rows = [Row(key_of(line, column), line) for line in lines[1:]]
    if len(rows) < 3000 or len({row.data for row in rows}) != len(rows):
        raise RuntimeError(f"{TABLE} is not the table this test was written for")
    return rows


def key_of(line, column):
    """The value of one column of a line of CSV."""
    return next(csv.reader([line.decode()]))[column]


def write_rows(rows, path):
    """Writes rows as JSON lines, for clients in other languages."""
    with open(path, "w", encoding="ascii") as file:
        for row in rows:
            file.write(json.dumps({"key": row.key, "data": base64.b64encode(row.data).decode()}) + "\n")
