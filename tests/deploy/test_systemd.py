"""The unit of systemd, by systemd's own tools."""

import pathlib
import shutil
import subprocess

import pytest

UNIT = pathlib.Path(__file__).parents[2] / "deploy" / "tidelog.service"
# Tenths: exposure 2.0, the bound that the unit keeps below.
EXPOSURE_MAX = 20

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def analyzed(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_unit_is_understood(tmp_path):
    """Without the paths of an installation, which need not be there."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/tidelog", shutil.which("true")))
    done = analyzed("verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_confined():
    done = analyzed("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(UNIT))
    assert done.returncode == 0, done.stdout
