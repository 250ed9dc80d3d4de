"""The Kubernetes manifests, against the API's schemas and against what we promise of them."""

import itertools

import kubernetes_validate
import pytest
import yaml

from pay402.ops.main import COMMANDS
from tests.deploy.programs import DEPLOY

DIRECTORY = DEPLOY / "kubernetes"
# These belong to the tool and to an operator of its own, so the API knows no schema of theirs.
FOREIGN = {"Kustomization", "ExternalSecret"}
# The oldest version that is supported anywhere, and the newest that the schemas are there for.
VERSIONS = sorted(kubernetes_validate.utils.major_minor(one) for one in ("1.31", kubernetes_validate.latest_version()))


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def resources(directory=DIRECTORY):
    """What `kustomize build` would put together: (file, document)."""
    for name in documents(directory / "kustomization.yaml")[0]["resources"]:
        path = (directory / name).resolve()
        if path.is_dir():
            yield from resources(path)
        else:
            yield from ((path.name, document) for document in documents(path))


RESOURCES = list(resources(DIRECTORY / "autoscaling"))
PODS = {
    document["metadata"]["name"]: spec
    for _, document in RESOURCES
    if (
        spec := {
            "Deployment": lambda d: d["spec"]["template"]["spec"],
            "Job": lambda d: d["spec"]["template"]["spec"],
            "CronJob": lambda d: d["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        }.get(document["kind"], lambda _: None)(document)
    )
}


def the(kind, name):
    (found,) = [d for _, d in RESOURCES if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def test_every_file_is_listed_once():
    files = {path.name for path in DIRECTORY.glob("*.yaml")} - {"kustomization.yaml"}
    listed = documents(DIRECTORY / "kustomization.yaml")[0]["resources"]
    assert sorted(listed) == sorted(files)
    names = [(d["kind"], d["metadata"]["name"]) for _, d in RESOURCES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "document",
    [d for _, d in RESOURCES if d["kind"] not in FOREIGN],
    ids=lambda d: f"{d['kind']}-{d['metadata']['name']}",
)
def test_a_resource_is_valid(document, version):
    kubernetes_validate.validate(document, version, strict=True)


def test_a_mistake_would_be_refused():
    wrong = yaml.safe_load(yaml.safe_dump(the("Deployment", "api")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_api_has_three_replicas_of_which_two_always_serve():
    deployment = the("Deployment", "api")
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = the("PodDisruptionBudget", "api")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["minAvailable"] == 2
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    service = the("Service", "api")["spec"]
    assert service["selector"].items() <= labels.items()
    ports = {port["name"]: port["containerPort"] for port in PODS["api"]["containers"][0]["ports"]}
    assert ports[service["ports"][0]["targetPort"]] == 3001


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_confined_as_the_restricted_standard_demands(name):
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in pod["volumes"]}
        if "args" in container:
            assert container["args"][0] in COMMANDS


@pytest.mark.parametrize(
    ("name", "paths"), [("api", {"/health", "/ready"}), ("indexer", {"/health"}), ("worker", {"/health"})]
)
def test_a_process_is_probed_where_it_answers(name, paths):
    (container,) = PODS[name]["containers"]
    ports = {port["name"] for port in container["ports"]}
    probes = {key: value["httpGet"] for key, value in container.items() if key.endswith("Probe")}
    assert {probe["path"] for probe in probes.values()} == paths
    assert {probe["port"] for probe in probes.values()} <= ports
    # Killing a process because the database is away would only make it worse.
    assert probes["livenessProbe"]["path"] == "/health"
    assert PODS[name]["terminationGracePeriodSeconds"] > 25 + 5


def test_every_secret_that_is_read_is_provided():
    configuration = the("ConfigMap", "pay402")["data"]
    read = {value.rsplit("/", 1)[1] for name, value in configuration.items() if name.endswith("_FILE")}
    provided = {entry["secretKey"] for entry in the("ExternalSecret", "pay402")["spec"]["data"]}
    # The addresses of each process take the place of `database_url`: see test_roles_wiring.py.
    assert read == {name for name in provided if not name.endswith("_database_url")}
    assert not any("://" in value and "@" in value for value in configuration.values())


def test_traffic_is_denied_unless_it_is_named():
    denied = the("NetworkPolicy", "deny-everything")["spec"]
    assert denied["podSelector"] == {}
    assert set(denied["policyTypes"]) == {"Ingress", "Egress"}
    policies = [d["spec"] for _, d in RESOURCES if d["kind"] == "NetworkPolicy"]
    rules = itertools.chain.from_iterable(spec.get("ingress", []) for spec in policies)
    opened = {port["port"] for rule in rules for port in rule["ports"]}
    served = {port["containerPort"] for pod in PODS.values() for c in pod["containers"] for port in c.get("ports", [])}
    assert opened == served
