"""Flips one bit in a file of a stopped node, where it matters."""

import os

BLOCK = 4096


def flip(volume, kind, generator):
    """Flips a bit in a `wal`, `segment` or `checkpoint` file; where, in words, or None if there is no such file."""
    paths = candidates(volume.data, kind)
    if not paths:
        return None
    path = generator.choice(paths)
    at = place(path, generator)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << generator.randrange(8)]))
        file.flush()
        os.fsync(file.fileno())
    return f"byte {at} of {path.relative_to(volume.data)}"


def candidates(data, kind):
    """The files that may be hit: the log in use, sealed segments (open ones if none is), the newest checkpoint."""
    if kind == "wal":
        return sorted(data.glob("wal/*.wal"))[-2:]
    if kind == "checkpoint":
        return sorted(data.glob("checkpoint/*.checkpoint"))[-1:]
    segments = sorted(data.glob("shards/*/*/*.seg"))
    return sealed_among(segments) or segments


def sealed_among(segments):
    """Returns the segments that have a successor in the same shard."""
    return [one for one, next_one in zip(segments, segments[1:]) if one.parent == next_one.parent]


def place(path, generator):
    """A byte of a block that holds something."""
    blocks = path.stat().st_size // BLOCK + 1
    with open(path, "rb") as file:
        for _ in range(1000):
            block = generator.randrange(blocks)
            file.seek(block * BLOCK)
            held = file.read(BLOCK).rstrip(b"\0")
            if held:
                return block * BLOCK + generator.randrange(len(held))
    # Mostly empty, as a new log file is: the header is there in any case.
    return generator.randrange(64)
