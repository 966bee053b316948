"""The commands of README.md and of each page of docs/ are played from top to bottom, and do what the page says.

Each `$` line of a console block runs in one shell, in an empty directory, and ends with 0; the lines below it are the
expected output, apart from figures. The ports are not those of the pages, so that a broker of the machine is not in the
way. A page that tells its reader to start a broker finds one, started as README.md says. Programs that do not end run
until the end of the test.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import grpc_stubs
from .broker import ROOT, free_port

START_SECONDS_MAX = 60
# Commands that need the network, a compiler or an hour.
NOT_PLAYED = ("./tests/run",)
# Languages of the blocks that are played.
PLAYED = ("", "console", "python")
# A page with these words tells its reader to start a broker.
NEEDS_BROKER = "(`cargo run --release`)"
README = ROOT / "README.md"
# Commands and programs of each page at least: a page that loses its commands is no longer tested.
LEAST_COMMANDS = {
    "README.md": 7,
    "docs/clients.md": 11,
    "docs/command-line.md": 7,
    "docs/grpc.md": 1,
    "docs/kcl.md": 2,
    "docs/load-test.md": 1,
    "docs/rust-client.md": 4,
    "docs/three-nodes.md": 10,
    "docs/tls.md": 6,
}
# Programs that end by Ctrl-C: servers, and those that follow a stream.
ENDLESS = re.compile(r"^cargo run --release|^tidelog serve|tail .* -f |--example consume")
# Commands of `put` that report lines that it could not put.
PARTLY = re.compile(r"--rejects")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = re.compile(r"\b45[67]\d\b")
FIGURES = re.compile(r"\d[\d,.:TZ-]*|[A-Za-z0-9+/=]{40,}")
# The pages' cargo commands in a test: the binary of the dev profile, and the examples beside it.
COMMANDS = """
cargo() {
    case "$*" in
    "run --release") tidelog serve --listen "127.0.0.1:$MAIN_PORT" ;;
    "run --release -- "*) shift 3; tidelog "$@" ;;
    "run -p tidelog-client --example "*) local name=$5; shift 6; "$EXAMPLES/$name" "$@" "http://127.0.0.1:$MAIN_PORT" ;;
    *) echo "not known: cargo $*"; return 1 ;;
    esac
}
"""


def commands(block):
    """The commands of a console block, each with the lines that it prints."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (found[-1][0] + "\n" + line, [])
        elif found:
            found[-1][1].append(line)
    return found


def shape(lines):
    """Lines without their figures, in an order that does not depend on them."""
    return sorted(FIGURES.sub("0", line).rstrip() for line in lines if line.strip())


class Shell:
    """A shell that plays commands one after the other."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.process = subprocess.Popen(
            ["bash"],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.endless = []
        self.run(COMMANDS)

    def run(self, command):
        """Plays a command; its exit code and what it printed."""
        self.process.stdin.write(f"{command}\necho \"<<$?>>\"\n")
        self.process.stdin.flush()
        printed = []
        for line in self.process.stdout:
            if ended := re.search(r"<<(\d+)>>$", line.rstrip("\n")):
                rest = line[: ended.start()]
                return int(ended[1]), printed + ([rest] if rest else [])
            printed.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended in {command}")

    def begin(self, command):
        """Begins a command that does not end; the file with what it prints."""
        output = self.directory / f"endless-{len(self.endless)}.log"
        self.endless.append(output)
        output.touch()
        output.with_suffix(".err").touch()
        code, printed = self.run(f"{{ {command}\n}} >{output.name} 2>{output.stem}.err </dev/null &")
        assert code == 0, printed
        return output

    def close(self):
        """Ends the shell and all that it began."""
        _, printed = self.run("jobs -p")
        for job in printed:
            # A job is a shell of its own, whose children are the programs.
            children = subprocess.run(["pgrep", "-P", job], capture_output=True, text=True)
            for process in [*children.stdout.split(), job]:
                subprocess.run(["kill", "-9", process], stderr=subprocess.DEVNULL)
        self.process.stdin.close()
        self.process.wait(10)


def wait_for(output, pattern):
    """Returns the output of a command that does not end once the pattern is in it."""
    ends = time.monotonic() + START_SECONDS_MAX
    while not re.search(pattern, said := output.read_text()):
        assert time.monotonic() < ends, f"{output.name} has no {pattern!r}: {said}"
        time.sleep(0.05)
    return said


def play(shell, command, expected):
    """Plays one command and compares its output with the page."""
    if ENDLESS.search(command):
        output = shell.begin(command)
        if command == "cargo run --release":
            said = wait_for(output, "AWS_ACCESS_KEY_ID").splitlines()
            assert [line.split()[0] for line in said] == [line.split()[0] for line in expected], said
            for line in said:
                if line.startswith("  export "):
                    assert shell.run(line)[0] == 0
        return
    if " cluster add " in command:
        wait_for(shell.endless[-1].with_suffix(".err"), "waiting to be taken into cluster")
    if " cluster status " in command:
        # The page says so: once the nodes have printed their addresses.
        for output in shell.endless:
            wait_for(output, "listening on")
    code, printed = shell.run(command)
    assert code == (3 if PARTLY.search(command) else 0), (command, code, printed)
    if command.startswith("tidelog bench"):
        # The figures and the lines about failures depend on the machine.
        assert printed[0].startswith("Verified: each of "), printed
    elif expected:
        assert shape(printed) == shape(expected), (command, printed)


def play_python(text, environment, directory):
    """Runs a block of Python until it ends, or until it has printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", text],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    if not line:
        assert process.wait(START_SECONDS_MAX) == 0, process.stderr.read()
    process.kill()
    process.wait()
    return line


@pytest.fixture
def shell(tmp_path):
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    release = tmp_path / "target" / "release"
    release.mkdir(parents=True)
    (release / "tidelog").symlink_to(target / "tidelog")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TIDELOG_"))}
    paths = [release, Path(sys.executable).parent, kept["PATH"]]
    kept |= {"PATH": os.pathsep.join(map(str, paths)), "EXAMPLES": str(target / "examples"), "AWS_PAGER": ""}
    shell = Shell(tmp_path, kept | {"HOME": str(tmp_path)})
    yield shell
    shell.close()


def played_blocks(page):
    """The blocks of a page that are played: language and text."""
    return [(block[1], block[2]) for block in BLOCK.finditer(page.read_text()) if block[1] in PLAYED]


def named(page):
    return str(page.relative_to(ROOT))


PAGES = [page for page in [README, *sorted((ROOT / "docs").rglob("*.md"))] if played_blocks(page)]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_from_top_to_bottom(page, shell, tmp_path):
    ports = {}

    def moved(text):
        return PORT.sub(lambda port: str(ports.setdefault(port[0], free_port())), text)

    assert shell.run(moved("MAIN_PORT=4567"))[0] == 0
    if page != README and NEEDS_BROKER in page.read_text():
        (start,) = [text for _, text in played_blocks(README) if text.startswith("$ cargo run --release\n")]
        play_commands(shell, moved(start))
    for language, text in played_blocks(page):
        if language == "python":
            grpc_stubs.make()
            environment = dict(line.split("=", 1) for line in shell.run("env")[1] if "=" in line)
            text = moved(text)
            line = play_python(text, environment | {"PYTHONPATH": str(grpc_stubs.STUBS)}, tmp_path)
            assert ("Subscribe" in text) == line.startswith("shardId-"), line
        else:
            play_commands(shell, moved(text))


def play_commands(shell, block):
    for command, expected in commands(block):
        if command not in NOT_PLAYED:
            # A second of load says as much.
            play(shell, command.replace("--duration 10s", "--warm-up 0s --duration 1s"), expected)


@pytest.mark.parametrize("section", ["Three terminals on one machine", "From one node to three"])
def test_clusters_of_the_operators_page(section, shell):
    page = (ROOT / "deploy" / "OPERATIONS.md").read_text()
    text = re.split(r"^#+ ", page.split(f"\n### {section}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    ports = {}
    if section == "From one node to three":
        lone = shell.begin(f"tidelog serve --listen 127.0.0.1:{free_port()}")
        wait_for(lone, "listening on")
        assert shell.run("kill $(pgrep -P $!) && wait")[0] == 0
    blocks = [block[2] for block in BLOCK.finditer(text) if block[1] == "console"]
    assert len(blocks) >= 2, text
    for block in blocks:
        play_commands(shell, PORT.sub(lambda port: str(ports.setdefault(port[0], free_port())), block))


def test_the_pages_have_their_commands():
    counts = {
        named(page): sum(
            1 if language == "python" else len(commands(text)) for language, text in played_blocks(page)
        )
        for page in PAGES
    }
    missing = {page: least for page, least in LEAST_COMMANDS.items() if counts.get(page, 0) < least}
    assert not missing, f"these pages had that many commands to play: {missing}"


def test_the_row_of_the_ca_is_the_command_that_is_played():
    page = (ROOT / "docs" / "tls.md").read_text()
    assert "`export AWS_CA_BUNDLE=ca.pem`" in page
    assert "$ export AWS_CA_BUNDLE=ca.pem\n" in page
