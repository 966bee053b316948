"""The programs of the applications: how Maven builds them, and how a process of one runs."""

import re
import subprocess
import threading

from clients.availability import missing
from clients.clients import HERE as CLIENTS
from clients.clients import JAVA_OPTIONS, environment, installed, need, run

from . import HERE

# Maven's words for a library that the registry does not have.
UNRESOLVED = re.compile(r"Could not (find|resolve|transfer)|was not found in")
STOP_SECONDS_MAX = 150
# Flink's and KCL's libraries reach into the packages of Java.
OPENED = ["java.util", "java.lang", "java.time"]


def java(folder, main, **versions):
    """The command that starts the main class of a Maven project, built with these versions of its libraries.

    A library that cannot be resolved skips the test by its name.
    """
    need("java", "mvn")
    place = (CLIENTS if folder == "kcl" else HERE) / folder
    name = "-".join([folder, *versions.values()])
    sources = [place / "pom.xml", *sorted((place / "src").glob("*.java"))]

    def install(directory):
        chosen = [f"-D{library}.version={version}" for library, version in versions.items()]
        places = [f"-Doutput={directory}", f"-Dmdep.outputFile={directory / 'classpath'}"]
        goals = ["compiler:compile"] if len(sources) > 1 else []
        try:
            words = [*chosen, *places, *goals, "dependency:build-classpath"]
            run("nice", "-n", "5", "mvn", "--quiet", "--batch-mode", *words, directory=place)
        except AssertionError as failed:
            if UNRESOLVED.search(str(failed)):
                missing(f"{name}: Maven cannot resolve its libraries")
            raise

    built = installed(f"application-{name}", sources, install)
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    classpath = f"{built / 'classes'}:{(built / 'classpath').read_text().strip()}"
    return ["java", *JAVA_OPTIONS, *opened, "-cp", classpath, main]


def variables(endpoint, directory, **others):
    """The environment of an application: the endpoint of all services, and the SDK's own retries."""
    own = environment(endpoint, None, directory) | {"AWS_ENDPOINT_URL": endpoint} | others
    del own["AWS_MAX_ATTEMPTS"], own["AWS_ENDPOINT_URL_KINESIS"]
    return own


class Running:
    """A process of an application. Each line that it prints becomes an event: (this process, its words)."""

    def __init__(self, command, own, log, events):
        self.events, self.log = events, log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                list(map(str, command)),
                env=own,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.note(line)

    def note(self, line):
        if words := line.split():
            self.events.append((self, words))

    def words(self, kind):
        """The events of that kind that this process has printed."""
        return [words for process, words in list(self.events) if process is self and words[0] == kind]

    def assert_alive(self):
        code = self.process.poll()
        assert code is None, f"the application ended by itself with {code}: {self.log_end()}"

    def kill(self):
        """Kills the process on the spot, and takes in what it has printed."""
        self.process.kill()
        self.process.wait()
        self.reader.join(10)

    def stop(self, last_word="stopped"):
        """A graceful stop: the end of the standard input."""
        self.assert_alive()
        self.process.stdin.close()
        self.await_end()
        assert self.words(last_word), f"not {last_word}: {self.log_end()}"

    def await_end(self):
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no stop within {STOP_SECONDS_MAX} s: {self.log_end()}") from None
        self.reader.join(10)

    def log_end(self):
        return self.log.read_text(errors="replace")[-3000:]
