"""Skips or fails the tests of a client that this machine cannot run."""

import os

import pytest


def missing(what):
    """Skips by name what a test needs and the machine lacks; in CI everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing: {what}")
    pytest.skip(f"missing: {what}")
