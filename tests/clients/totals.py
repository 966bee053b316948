"""Counts a JUnit report of pytest: prints `passed failed skipped`, writes the names of the last two to a file.

A test whose teardown fails as well counts once.
"""

import sys
import xml.etree.ElementTree as ElementTree


def outcomes(report):
    """The outcome and, if it did not pass, the reason of each test by name."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        broken = [child for child in case if child.tag in ("failure", "error")]
        passed_over = [child for child in case if child.tag == "skipped"]
        if broken:
            found[name] = ("failed", "")
        elif passed_over:
            found.setdefault(name, ("skipped", passed_over[0].get("message", "")))
        else:
            found.setdefault(name, ("passed", ""))
    return found


def main(report, names):
    found = outcomes(report)
    if not found:
        sys.exit("the report holds no tests")
    with open(names, "w", encoding="utf-8") as file:
        for name, (outcome, reason) in found.items():
            if outcome != "passed":
                file.write(f"{outcome} {name} {reason}".rstrip() + "\n")
    counts = [
        sum(outcome == kind for outcome, _ in found.values()) for kind in ("passed", "failed", "skipped")
    ]
    print(*counts)


if __name__ == "__main__":
    main(*sys.argv[1:])
