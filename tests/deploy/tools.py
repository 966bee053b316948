"""Tools of the checks of packages, from the registries of Go and Python, kept in tests/.cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "tests" / ".cache" / "deploy"
CANNOT_RUN = 77
HELM = ("helm.sh/helm/v3/cmd/helm", "v3.22.0")
ACTIONLINT = ("github.com/rhysd/actionlint/cmd/actionlint", "v1.7.12")
KUBERNETES_VALIDATE = ("kubernetes-validate", "1.37.0")


class Missing(Exception):
    """A tool cannot be had on this machine; the text says why."""


def go_program(module, version):
    """The path of a program that Go builds from its module."""
    name = module.rsplit("/", 1)[1]
    directory = CACHE / f"{name}-{version}"
    if (program := directory / name).exists():
        return program
    if shutil.which("go") is None:
        raise Missing(f"{name} needs go")
    done = subprocess.run(["go", "install", f"{module}@{version}"], env=os.environ | {"GOBIN": str(directory)},
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{name} could not be built: {done.stderr.strip().splitlines()[-1:]}")
    return program


def python_program(package, version):
    """The path of a program of a Python package, in an environment of its own."""
    directory = CACHE / f"{package}-{version}"
    program = directory / "bin" / package
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        done = subprocess.run([directory / "bin" / "pip", "install", "--quiet", f"{package}=={version}"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"{package} could not be installed: {done.stderr.strip().splitlines()[-1:]}")
    return program
