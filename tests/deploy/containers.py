#!/usr/bin/env python3
"""Follows OPERATIONS.md, "In containers", word by word with a real Docker daemon.

The image is built, three nodes form a cluster, one is killed and comes back, one is replaced, and all are stopped. The
daemon, its data and its images are the test's own. Exit code 77: this machine has no Docker, or not as root.

Usage: tests/deploy/containers.py [--binary FILE]
    --binary FILE   a static binary in the place of the one that the page builds
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from clients.broker import free_port  # noqa: E402
from clients.test_documents_played import BLOCK, Shell, commands  # noqa: E402

CANNOT_RUN = 77
PATIENCE_SECONDS = 120
IMAGE_BYTES_MAX = 30_000_000
TARGET = "x86_64-unknown-linux-musl"
# The commands of the page, where there is no terminal and perhaps only the older docker-compose.
WITHOUT_TERMINAL = """
unset -f cargo
docker() {
    case "$1 ${2:-}" in
    "compose run") shift 2; set -- compose run -T "$@" ;;
    esac
    if [ "$1" != compose ] || command docker compose version >/dev/null 2>&1; then command docker "$@"; return; fi
    shift
    command docker-compose "$@"
}
"""
NODES = ("tidelog-1", "tidelog-2", "tidelog-3")


def missing(binary):
    """The reason why this machine cannot run the containers, or None."""
    if os.geteuid() != 0:
        return "the test's own Docker daemon needs root"
    for program in ("dockerd", "docker", "openssl", "objcopy"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not binary:
        if shutil.which("musl-gcc") is None:
            return "musl-gcc is not installed (musl-tools)"
        if subprocess.run(["rustup", "target", "add", TARGET], cwd=ROOT, capture_output=True).returncode != 0:
            return f"rustup cannot add the target {TARGET}"
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode != 0 and shutil.which("docker-compose") is None:
        return "neither the plugin compose of docker nor docker-compose is installed"
    return None


@contextmanager
def daemon(directory):
    """A Docker daemon of the test's own; yields the environment of its clients."""
    socket = directory / "docker.sock"
    log = (directory / "dockerd.log").open("w")
    arguments = ["--data-root", directory / "docker", "--exec-root", directory / "exec", "-H", f"unix://{socket}"]
    arguments += ["--pidfile", directory / "pid", "--storage-driver", "vfs"]
    process = subprocess.Popen(["dockerd", *map(str, arguments)], stdout=log, stderr=log)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TIDELOG_"))}
    # The builder of Docker 20 needs no plugin.
    environment |= {"DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "0", "COMPOSE_PROJECT_NAME": "tidelog"}
    try:
        until(lambda: subprocess.run(["docker", "info"], env=environment, capture_output=True).returncode == 0,
              "the Docker daemon answers")
        yield environment
    finally:
        process.terminate()
        process.wait(60)


def until(condition, named):
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends, f"never came: {named}"
        time.sleep(0.3)


def section(page, title):
    """The commands of a section, up to the next heading."""
    text = re.split(r"^#+ ", page.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return [command for block in BLOCK.finditer(text) if block[1] == "console" for command in joined(block[2])]


def joined(block):
    """The commands of a block, of which one may go over several lines."""
    found = []
    for command, lines in commands(block):
        ends = re.match(r"(for .* do|\w+\(\) \{.*)$", command)
        found.append("\n".join([command, *lines]) if ends else command)
    return found


class Cluster:
    """The nodes of compose.yaml, seen from outside."""

    def __init__(self, shell, environment):
        self.shell = shell
        self.environment = environment

    def play(self, command):
        print(f"$ {command}", flush=True)
        # The shell's own input is the commands to come.
        code, printed = self.shell.run(command if "\n" in command or "<" in command else f"{command} </dev/null")
        print("\n".join(f"    {line}" for line in printed), flush=True)
        assert code == 0, (command, code)
        return printed

    def inspected(self, service):
        done = subprocess.run(["docker", "inspect", f"tidelog_{service}_1"], env=self.environment,
                              capture_output=True, text=True)
        if done.returncode != 0:  # the plugin's names
            done = subprocess.run(["docker", "inspect", f"tidelog-{service}-1"], env=self.environment,
                                  capture_output=True, text=True, check=True)
        return json.loads(done.stdout)[0]

    def wait_until_healthy(self, service):
        until(lambda: self.inspected(service)["State"]["Health"]["Status"] == "healthy", f"{service} is healthy")

    def client(self, arguments):
        return self.play(f"docker compose run --rm admin {arguments}")


def check_image(cluster):
    (size,) = cluster.play("docker image inspect --format '{{.Size}}' tidelog")
    assert int(size) <= IMAGE_BYTES_MAX, f"the image has {size} bytes"
    (config,) = cluster.play("docker image inspect --format '{{json .Config}}' tidelog")
    config = json.loads(config)
    assert config["User"] == "10001:10001" and "--ready" in config["Healthcheck"]["Test"], config


def check_confinement(cluster, service):
    found = cluster.inspected(service)
    assert found["HostConfig"]["ReadonlyRootfs"] and found["HostConfig"]["CapDrop"] == ["ALL"], found["HostConfig"]
    status = Path(f"/proc/{found['State']['Pid']}/status").read_text()
    assert re.search(r"^Uid:\s+10001\s+10001\s", status, re.MULTILINE), status
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE), status
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), status


def check_records(cluster, expected):
    lines = cluster.client("tail played --from trim --raw")
    found = sorted(line for line in lines if line.startswith("record-"))
    assert found == sorted(expected), (found, expected)


def put(cluster, record):
    cluster.client(f"put played --key any <<< {record}")
    return record


def kill(cluster, service):
    """A node that dies comes back by itself."""
    before = cluster.inspected(service)["State"]["Pid"]
    os.kill(before, 9)
    until(lambda: cluster.inspected(service)["State"]["Pid"] not in (0, before), f"{service} runs again")
    cluster.wait_until_healthy(service)
    cluster.client("cluster status --wait caught-up")


def stop(cluster, services):
    cluster.play("docker compose stop")
    for service in services:
        state = cluster.inspected(service)["State"]
        assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False), (service, state)


def follow(page, cluster, binary):
    """The sections from top to bottom, with the checks between them."""
    for command in section(page, "In containers"):
        if not command.startswith(("rustup", "cargo")):
            cluster.play(command)
        elif not binary:
            cluster.play(f"(cd {ROOT} && {command})")
    check_image(cluster)
    certificates = section(page, "Three machines, with certificates")
    cluster.play(next(command for command in certificates if command.startswith("certificate() {")))
    compose = section(page, "Three nodes by compose")
    (formed,) = [at for at, command in enumerate(compose) if command.endswith("cluster status --wait healthy")][:1]
    for command in compose[: formed + 1]:
        cluster.play(command)
    for service in NODES:
        cluster.wait_until_healthy(service)
        check_confinement(cluster, service)
    cluster.client("stream create played --shards 2")
    records = [put(cluster, "record-1")]
    kill(cluster, "tidelog-2")
    records.append(put(cluster, "record-2"))
    check_records(cluster, records)
    for command in compose[formed + 1 :]:
        cluster.play(command)
    cluster.wait_until_healthy("tidelog-4")
    records.append(put(cluster, "record-3"))
    check_records(cluster, records)
    stop(cluster, ("tidelog-1", "tidelog-2", "tidelog-4"))


def tree(directory, binary):
    """The part of the source tree that the page's commands need, with the ports of the test."""
    shutil.copytree(ROOT / "deploy", directory / "deploy")
    compose = directory / "deploy" / "compose.yaml"
    compose.write_text(re.sub(r"127\.0\.0\.1:456\d", lambda _: f"127.0.0.1:{free_port()}", compose.read_text()))
    if binary:
        release = directory / "target" / TARGET / "release"
        release.mkdir(parents=True)
        (release / "tidelog").symlink_to(binary.absolute())
    else:
        (directory / "target").symlink_to(ROOT / "target")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", type=Path)
    binary = arguments.parse_args().binary
    if reason := missing(binary):
        print(f"containers: {reason}", file=sys.stderr)
        return CANNOT_RUN
    page = (ROOT / "deploy" / "OPERATIONS.md").read_text()
    with tempfile.TemporaryDirectory(prefix="tidelog-containers-") as name:
        directory = Path(name)
        (directory / "tree").mkdir()
        tree(directory / "tree", binary)
        with daemon(directory) as environment:
            shell = Shell(directory / "tree", environment)
            cluster = Cluster(shell, environment)
            shell.run(WITHOUT_TERMINAL)
            try:
                follow(page, cluster, binary)
            except AssertionError:
                cluster.shell.run("docker compose logs --no-color > /dev/stderr")
                raise
            finally:
                shell.run("docker compose down --volumes --timeout 20")
                shell.close()
    print("containers: image built, three nodes formed, one killed, one replaced, all stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
