"""The scenario of scenario.json, by every client, plain and by TLS; each step is a test."""

import subprocess

import pytest

from .broker import Broker
from .clients import CLIENTS
from .conftest import run_broker
from .player import SCENARIO, Player

TRANSPORTS = ("http", "https")


def cases():
    """All steps that a client can play, in order, for each client and transport."""
    for client in CLIENTS:
        for transport in TRANSPORTS:
            for step in SCENARIO["steps"]:
                if step.get("needs") not in client.lacks:
                    name = f"{client.name}-{transport}-{step['name']}"
                    yield pytest.param((client, transport), step, id=name)


@pytest.fixture(scope="module")
def player(request, tmp_path_factory):
    """One client and a broker of its own, for all steps."""
    client, transport = request.param
    directory = tmp_path_factory.mktemp(f"{client.name}-{transport}")
    for broker in run_broker(request, directory / "broker", "off"):
        authority = certificate_authority(broker, directory) if transport == "https" else None
        endpoint = broker.endpoint.replace("http:", f"{transport}:")
        program = client.start(endpoint, authority, directory)
        yield Player(client, program)
        program.close()


def certificate_authority(broker: Broker, directory):
    """A file with the CA that the broker made at its first start."""
    path = directory / "ca.pem"
    words = [broker.words()[0], "ca", "--data", str(broker.directory / "data")]
    path.write_bytes(subprocess.run(words, check=True, capture_output=True).stdout)
    return path


@pytest.mark.parametrize(("player", "step"), list(cases()), indirect=["player"], scope="module")
def test_step(player, step):
    player.play(step)
