"""The table of clients in docs/clients.md names the versions that are installed here."""

import json
import re
from xml.etree import ElementTree

import pytest

from .broker import ROOT

HERE = ROOT / "tests" / "clients"
ROW = re.compile(r"^\| [^|]*`([^`|]+)`[^|]* \| ([0-9.]+) \|", re.MULTILINE)
MAVEN = "{http://maven.apache.org/POM/4.0.0}"


def python_versions():
    text = (ROOT / "tests" / "requirements.txt").read_text()
    return dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))


def rust_version():
    lock = (ROOT / "Cargo.lock").read_text()
    return re.search(r'name = "aws-sdk-kinesis"\nversion = "([^"]+)"', lock)[1]


def javascript_version():
    packages = json.loads((HERE / "js" / "package-lock.json").read_text())["packages"]
    return packages["node_modules/@aws-sdk/client-kinesis"]["version"]


def go_version():
    return re.search(r"service/kinesis v(\S+)", (HERE / "go" / "go.mod").read_text())[1]


def java_version():
    project = ElementTree.parse(HERE / "java" / "pom.xml")
    (dependency,) = [
        found
        for found in project.iter(f"{MAVEN}dependency")
        if found.findtext(f"{MAVEN}artifactId") == "kinesis"
    ]
    return dependency.findtext(f"{MAVEN}version")


@pytest.fixture(scope="module")
def table():
    """The versions of the table, by the package's name."""
    text = (ROOT / "docs" / "clients.md").read_text()
    return dict(ROW.findall(text.split("## Clients that are tested", 1)[1].split("\n## ", 1)[0]))


def test_versions(table):
    python = python_versions()
    assert table == {
        "boto3": python["boto3"],
        "awscli": python["awscli"],
        "aws-sdk-kinesis": rust_version(),
        "@aws-sdk/client-kinesis": javascript_version(),
        "aws-sdk-go-v2/service/kinesis": go_version(),
        "software.amazon.awssdk:kinesis": java_version(),
    }
