"""The gRPC API as a client of another language sees it: stubs made from the .proto files, and how errors are read."""

import importlib
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

from .broker import ROOT

PROTO = ROOT / "proto"
STUBS = ROOT / "tests" / ".cache" / "grpc"
NAMES = ("streams", "records", "groups", "cluster")


def make():
    """Makes the stubs and returns their modules by name, such as `records` and `records_grpc`."""
    STUBS.mkdir(parents=True, exist_ok=True)
    files = [f"tidelog/v1/{name}.proto" for name in NAMES]
    google = importlib.import_module("grpc_tools").__path__[0] + "/_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{google}", f"--python_out={STUBS}", f"--grpc_python_out={STUBS}"]
    assert protoc.main([*arguments, *files]) == 0, "the stubs cannot be made"
    if str(STUBS) not in sys.path:
        sys.path.insert(0, str(STUBS))
    importlib.invalidate_caches()
    modules = {}
    for name in NAMES:
        modules[name] = importlib.import_module(f"tidelog.v1.{name}_pb2")
        modules[f"{name}_grpc"] = importlib.import_module(f"tidelog.v1.{name}_pb2_grpc")
    return modules


def detail(error, kind):
    """The detail of that message type that an error carries; None without one."""
    for packed in rpc_status.from_call(error).details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


def reason(error):
    """The code and the reason of an error."""
    info = detail(error, error_details_pb2.ErrorInfo)
    assert info.domain == "tidelog"
    return error.code(), info.reason


def channel(broker):
    return grpc.insecure_channel(f"127.0.0.1:{broker.port}")
