"""Kinesis applications, unmodified, with Tidelog alone: KCL, KPL and their relatives. They take minutes each."""

from pathlib import Path

HERE = Path(__file__).parent
