#!/usr/bin/env python3
"""Checks the workflows of hosted CI by actionlint, and that each action is pinned to a commit.

Exit code 77: actionlint cannot be had on this machine.
"""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from deploy.tools import ACTIONLINT, CANNOT_RUN, ROOT, Missing, go_program  # noqa: E402

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def main():
    used = [use for file in WORKFLOWS for use in re.findall(r"uses: (.*)$", file.read_text(), re.MULTILINE)]
    assert used and WORKFLOWS, "no action is used"
    assert not (loose := [use for use in used if not PINNED.match(use)]), f"not pinned to a commit: {loose}"
    try:
        actionlint = go_program(*ACTIONLINT)
    except Missing as reason:
        print(f"workflows: {reason}", file=sys.stderr)
        return CANNOT_RUN
    return subprocess.run([actionlint, *WORKFLOWS], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
