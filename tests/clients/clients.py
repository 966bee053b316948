"""The clients that play the scenario: how each is built, started and made to trust the broker's CA.

What a client needs is installed into tests/.cache, and again only when its manifest, its lock file or its
program has changed. No client is changed or configured beyond the variables its makers document.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .availability import missing
from .broker import ROOT
from .program import Program

HERE = Path(__file__).parent
CACHE = ROOT / "tests" / ".cache" / "clients"
INSTALL_SECONDS_MAX = 900
TRUST_STORE_PASSWORD = "changeit"
# A short life is spent compiling: the first stage of the compiler is enough.
JAVA_OPTIONS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]


@dataclass(frozen=True)
class Client:
    """One SDK with one of its ways to speak HTTP, and what it cannot do."""

    name: str
    prepare: object  # Builds the program if necessary; the words that start it, given the CA's file or None.
    speaks: tuple = ("HTTP/1.1", "JSON")  # Without TLS.
    lacks: tuple = ()  # Operations that it does not have.
    bytes_in_lists: bool = True  # PutRecords takes bytes that are not text.
    timestamp_seconds: float = 0.001  # To what fraction of a second it tells a timestamp.

    def start(self, endpoint, authority, directory):
        """A running program that calls `endpoint` and trusts the certificate authority in that file."""
        words = self.prepare(authority, directory)
        return Program(words, environment(endpoint, authority, directory), directory / "program.log")


def environment(endpoint, authority, directory):
    """Nothing of the user's own settings for AWS, and everything an SDK reads by itself."""
    own = {
        "AWS_ENDPOINT_URL_KINESIS": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_DEFAULT_OUTPUT": "json",
        "AWS_PAGER": "",
        # A retry inside an SDK would hide a failure.
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(directory / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "no-credentials"),
    }
    if authority is not None:
        own |= dict.fromkeys(("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), str(authority))
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | own


def installed(name, sources, install):
    """A directory in which `install(directory)` has run for just these sources."""
    directory = CACHE / name
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = directory / "installed"
    if not stamp.exists() or stamp.read_text() != digest:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        install(directory)
        stamp.write_text(digest)
    return directory


def run(*words, directory):
    """Runs a build tool; what it wrote is shown only if it failed."""
    done = subprocess.run(
        list(map(str, words)), cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX
    )
    assert done.returncode == 0, f"{words[0]} failed\n{done.stdout}{done.stderr}"


def need(*tools):
    """Skips by name if a tool is not on this machine."""
    for tool in tools:
        if shutil.which(tool) is None:
            missing(tool)


def boto3(_authority, _directory):
    return [sys.executable, HERE / "boto3_program.py"]


def aws_cli(_authority, _directory):
    if importlib.util.find_spec("awscli") is None:
        missing("aws-cli")
    return [sys.executable, HERE / "aws_cli_program.py"]


def rust(_authority, _directory):
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "debug" / "tidelog-rust-sdk-client"
    if not path.exists():
        missing("the client on the AWS SDK for Rust (cargo build --workspace)")
    return [path, "calls"]


def javascript(handler):
    """The program with the SDK's handler of that name."""

    def install(directory):
        for path in javascript_sources():
            shutil.copy(path, directory)
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", directory=directory)

    def prepare(_authority, _directory):
        need("node", "npm")
        directory = installed("js", javascript_sources(), install)
        return ["node", directory / "client.mjs", handler]

    return prepare


def javascript_sources():
    return [HERE / "js" / name for name in ("package.json", "package-lock.json", "client.mjs")]


def go(_authority, _directory):
    sources = [HERE / "go" / name for name in ("go.mod", "go.sum", "main.go")]

    def install(directory):
        run("go", "build", "-mod=readonly", "-o", directory / "client", ".", directory=HERE / "go")

    need("go")
    return [installed("go", sources, install) / "client"]


def java(kind):
    """The program with the SDK's sync or async client."""

    def install(directory):
        goals = ["compiler:compile", "dependency:build-classpath"]
        places = [f"-Doutput={directory}", f"-Dmdep.outputFile={directory / 'classpath'}"]
        run("mvn", "--quiet", "--batch-mode", *places, *goals, directory=HERE / "java")

    def prepare(authority, directory):
        need("java", "mvn")
        sources = [HERE / "java" / "pom.xml", *sorted((HERE / "java" / "src").glob("*.java"))]
        built = installed("java", sources, install)
        classpath = f"{built / 'classes'}:{(built / 'classpath').read_text().strip()}"
        trust = java_trust(authority, directory) if authority is not None else []
        return ["java", *JAVA_OPTIONS, *trust, "-cp", classpath, "Client", kind]

    return prepare


def java_trust(authority, directory):
    """The JVM's settings for a trust store that holds the CA alone."""
    need("keytool")
    store = directory / "trust.p12"
    if not store.exists():
        place = ["-keystore", store, "-storetype", "PKCS12", "-storepass", TRUST_STORE_PASSWORD]
        words = ["keytool", "-importcert", "-noprompt", "-alias", "tidelog", "-file", authority, *place]
        run(*words, directory=directory)
    settings = {"": store, "Type": "PKCS12", "Password": TRUST_STORE_PASSWORD}
    return [f"-Djavax.net.ssl.trustStore{name}={value}" for name, value in settings.items()]


CLIENTS = [
    Client("boto3", boto3),
    Client(
        "aws-cli",
        aws_cli,
        lacks=("SubscribeToShard", "UpdateStreamRecordDistributionStrategy"),
        bytes_in_lists=False,
        timestamp_seconds=1,
    ),
    Client("rust", rust),
    Client("js-http2", javascript("http2"), speaks=("HTTP/2", "JSON")),
    Client("js-http1", javascript("http1")),
    Client("go", go),
    Client(
        "java-sync",
        java("sync"),
        speaks=("HTTP/1.1", "CBOR"),
        lacks=("SubscribeToShard", "UpdateStreamRecordDistributionStrategy"),
    ),
    Client(
        "java-async",
        java("async"),
        speaks=("HTTP/2", "CBOR"),
        lacks=("UpdateStreamRecordDistributionStrategy",),
    ),
]
