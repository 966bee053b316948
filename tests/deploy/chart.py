#!/usr/bin/env python3
"""Renders the Helm chart and checks the result: against the schemas of Kubernetes, and for the chart's own promises.

Every set of values is rendered for the oldest and the newest version of Kubernetes. Exit code 77: helm or the schemas
cannot be had on this machine.
"""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from deploy.tools import CANNOT_RUN, HELM, KUBERNETES_VALIDATE, ROOT, Missing, go_program, python_program  # noqa: E402

CHART = ROOT / "deploy" / "helm" / "tidelog"
KUBERNETES = ("1.28", "1.35")
# Values by the name of their case.
CASES = {
    "defaults": [],
    "replaced": ["--set", "nodes={1,2,4}"],
    "lone": ["--set", "nodes={1}"],
    "insecure": ["--set", "certificates.insecure=true,certificates.secret="],
    "everything": [
        "--set", "tls.secret=web,service.type=LoadBalancer,antiAffinity=preferred,priorityClassName=high",
        "--set", "settings.TIDELOG_LIMITS=off,volume.storageClass=fast,imagePullSecrets[0].name=pull,drainSeconds=60",
        "--set", "nodeSelector.disk=ssd,tolerations[0].operator=Exists,podAnnotations.team=data",
    ],
}
# Values that the chart refuses, with a word of the reason.
REFUSED = {
    "nodes={1,1}": "nodes",
    "nodes={0,1,2}": "nodes",
    "drain=5": "drain",
    "settings.LIMITS=off": "LIMITS",
    "certificates.secret=": "certificates.secret",
}


def rendered(helm, values, version):
    return subprocess.run([helm, "template", "tidelog", CHART, "--kube-version", f"{version}.0", *values],
                          capture_output=True, text=True, check=False)


def objects(python, text):
    """The objects of a rendered chart by kind and name, read by the YAML of the validator's environment."""
    program = "import json, sys, yaml; print(json.dumps([each for each in yaml.safe_load_all(sys.stdin) if each]))"
    done = subprocess.run([python, "-c", program], input=text, capture_output=True, text=True, check=True)
    return {(each["kind"], each["metadata"]["name"]): each for each in json.loads(done.stdout)}


def check_promises(name, found):
    """The properties without which a pod is wrong on any cluster."""
    nodes = found["StatefulSet", "tidelog"]["spec"]
    pod = nodes["template"]["spec"]
    (container,) = pod["containers"]
    assert nodes["podManagementPolicy"] == "Parallel", "a cluster in order never forms"
    assert pod["enableServiceLinks"] is False, "variables of a Service called tidelog are in the way"
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/ready"}, paths
    assert found["Service", "tidelog-peers"]["spec"]["publishNotReadyAddresses"] is True
    assert (("PodDisruptionBudget", "tidelog") in found) == (name != "lone")
    files = found["ConfigMap", "tidelog"]["data"]
    assert list(files) == [f"tidelog-{index}.toml" for index in range(nodes["replicas"])], list(files)
    assert pod["terminationGracePeriodSeconds"] >= int(tomllib.loads(files["tidelog-0.toml"])["drain"]) + 10


def check_settings(name, files):
    """The ids, and that the broker knows every key: it refuses a file with another one."""
    ids = [tomllib.loads(text).get("node-id") for text in files.values()]
    assert ids == {"replaced": [1, 2, 4], "lone": [None]}.get(name, [1, 2, 3]), ids
    binary = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "tidelog"
    for text in files.values():
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "tidelog.toml"
            # The start ends at the directory, which cannot be made; settings are read before it.
            file.write_text(text)
            done = subprocess.run([binary, "serve", "--config", file, "--data", "/dev/null/data"],
                                  capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 1 and "unknown" not in done.stderr, done.stderr
            assert "/dev/null/data" in done.stderr or "/etc/tidelog" in done.stderr, done.stderr


def check_refusal_of_planted_mistakes(validate, text):
    """The schemas are looked at: a mistake is found."""
    for wrong in (("replicas: 3", "replicas: three"), ("podManagementPolicy", "podManagmentPolicy")):
        assert wrong[0] in text
        assert not is_valid(validate, text.replace(*wrong, 1), KUBERNETES[0]), wrong


def is_valid(validate, text, version):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([validate, "--strict", "-k", version, file.name], capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout[-2000:], done.stderr[-2000:])
    return done.returncode == 0


def main():
    try:
        helm, validate = go_program(*HELM), python_program(*KUBERNETES_VALIDATE)
    except Missing as reason:
        print(f"chart: {reason}", file=sys.stderr)
        return CANNOT_RUN
    subprocess.run([helm, "lint", "--strict", "--kube-version", f"{KUBERNETES[0]}.0", CHART], check=True)
    for name, values in CASES.items():
        for version in KUBERNETES:
            done = rendered(helm, values, version)
            assert done.returncode == 0, done.stderr
            assert is_valid(validate, done.stdout, version), (name, version)
        found = objects(validate.parent / "python", done.stdout)
        check_promises(name, found)
        check_settings(name, found["ConfigMap", "tidelog"]["data"])
        print(f"chart: {name}: valid for Kubernetes {' and '.join(KUBERNETES)}")
    check_refusal_of_planted_mistakes(validate, rendered(helm, [], KUBERNETES[0]).stdout)
    for value, word in REFUSED.items():
        done = rendered(helm, ["--set", value], KUBERNETES[0])
        assert done.returncode != 0 and word in done.stderr, (value, done.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
