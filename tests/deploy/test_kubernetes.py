"""The Kubernetes manifests, against the API's schemas and against what we promise of them."""

import itertools
import os
import re
import shutil

import kubernetes_validate
import pytest
import yaml

from cli.main import COMMANDS
from tests.deploy.manifests import (
    COMPONENTS,
    DIRECTORY,
    FOREIGN,
    PODS,
    RESOURCES,
    VERSIONS,
    documents,
    identity,
    resources,
    the,
)
from tests.support.programs import DEPLOY, ROOT, run


def test_every_file_is_listed_once():
    for directory in (DIRECTORY, *COMPONENTS):
        files = {path.name for path in directory.glob("*.yaml")} - {"kustomization.yaml"}
        listed = documents(directory / "kustomization.yaml")[0]["resources"]
        assert sorted(listed) == sorted(files)
    names = [identity(d) for _, d in RESOURCES]
    assert len(names) == len(set(names))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed here")
@pytest.mark.parametrize("components", [[], COMPONENTS], ids=["base", "with every component"])
def test_kustomize_builds_the_same(tmp_path, components):
    """As the runbook says: an overlay of the operator's own, over ours."""
    overlay = {
        "resources": [os.path.relpath(DIRECTORY, tmp_path)],
        "components": [os.path.relpath(directory, tmp_path) for directory in components],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    built = list(yaml.safe_load_all(run("kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone", tmp_path)))
    # What an overlay adds belongs where the rest is.
    assert {d["metadata"].get("namespace") for d in built if d["kind"] != "Namespace"} == {"pay402"}
    specs = {identity(d): d.get("spec") for d in built}
    ours = {identity(d): d.get("spec") for _, d in resources(DIRECTORY, *components)}
    assert specs.keys() == ours.keys()
    for name in ("api", "worker"):
        pod, expected = (one["Deployment", name]["template"]["spec"] for one in (specs, ours))
        assert pod["volumes"] == expected["volumes"]
        assert pod["containers"][0].get("env") == expected["containers"][0].get("env")
        assert pod["containers"][0]["volumeMounts"] == expected["containers"][0]["volumeMounts"]
        assert specs["Deployment", name].get("replicas") == ours["Deployment", name].get("replicas")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed here")
def test_the_runbook_s_overlay_sets_what_it_says(tmp_path):
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    (overlay,) = re.findall(r"^```yaml\n(resources:.*?)^```", runbook, re.MULTILINE | re.DOTALL)
    here = os.path.relpath(ROOT, tmp_path)
    (tmp_path / "kustomization.yaml").write_text(overlay.replace("../402pay", here))
    text = run("kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone", tmp_path)
    built = {identity(document): document for document in yaml.safe_load_all(text)}
    assert set(re.findall(r"image: (.*)", text)) == {"registry.example.org/pay402:0.1.0"}
    assert built["ConfigMap", "pay402"]["data"]["ALLOWED_ORIGINS"] == "https://dashboard.example.org"
    assert built["ExternalSecret", "pay402"]["spec"]["secretStoreRef"]["name"] == "the-name-of-your-store"
    assert "replicas" not in built["Deployment", "api"]["spec"]
    assert built["HorizontalPodAutoscaler", "api"]["metadata"]["namespace"] == "pay402"


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
    (deployment,) = [d for _, d in resources(DIRECTORY) if identity(d) == ("Deployment", "api")]
    assert deployment["spec"]["replicas"] == 3
    # With the autoscaler, it has the number.
    assert "replicas" not in the("Deployment", "api")["spec"]
    assert the("HorizontalPodAutoscaler", "api")["spec"]["minReplicas"] == 3
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
    own = {one["name"]: one["value"] for one in PODS["api"]["containers"][0]["env"]}
    read = {value.rsplit("/", 1)[1] for name, value in {**configuration, **own}.items() if name.endswith("_FILE")}
    provided = {entry["secretKey"] for entry in the("ExternalSecret", "pay402")["spec"]["data"]}
    # The addresses of each process take the place of `database_url`: see test_roles_wiring.py.
    assert read == {name for name in provided if not name.endswith("_database_url")}
    assert not any("://" in value and "@" in value for value in configuration.values())


def test_the_settlement_key_is_for_the_worker_alone_and_only_where_it_is_wanted():
    (entry,) = the("ExternalSecret", "pay402-settlement")["spec"]["data"]
    secret = the("ExternalSecret", "pay402-settlement")["spec"]["target"]["name"]
    (container,) = PODS["worker"]["containers"]
    (variable,) = [one for one in container["env"] if one["name"] == "SETTLEMENT_KEYPAIR_FILE"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "settlement"]
    assert variable["value"] == f"{mount['mountPath']}/{entry['secretKey']}"
    # Readable to its owner; the kubelet adds the pod's group, which is the worker's own: see runtime/private_file.py.
    (volume,) = [one for one in PODS["worker"]["volumes"] if one["name"] == "settlement"]
    assert volume["secret"] == {"secretName": secret, "defaultMode": 0o400}
    context = PODS["worker"]["securityContext"]
    assert context["fsGroup"] == context["runAsGroup"] == 10001
    # Nobody else, not even the container that waits for the schema.
    assert "settlement" not in str(PODS["worker"]["initContainers"])
    assert [name for name, pod in PODS.items() if secret in str(pod)] == ["worker"]
    assert secret not in str(resources(DIRECTORY))


def test_prometheus_finds_each_process_by_the_job_that_the_rules_go_by():
    scraped = documents(DEPLOY / "prometheus" / "kubernetes.yml")[0]["scrape_configs"][0]
    by_target = {step["target_label"]: step for step in scraped["relabel_configs"] if "target_label" in step}

    def meta(kind, name):
        return f"__meta_kubernetes_pod_{kind}_{name.translate(str.maketrans('./-', '___'))}"

    templates = {d["metadata"]["name"]: d["spec"]["template"] for _, d in RESOURCES if d["kind"] == "Deployment"}
    assert set(templates) == {"api", "indexer", "worker"}
    for name, template in templates.items():
        labels = {meta("label", key): value for key, value in template["metadata"]["labels"].items()}
        annotations = {meta("annotation", key): value for key, value in template["metadata"]["annotations"].items()}
        assert labels[by_target["job"]["source_labels"][0]] == name
        (keep,) = [step for step in scraped["relabel_configs"] if step.get("action") == "keep"]
        assert annotations[keep["source_labels"][0]] == keep["regex"]
        port = int(annotations[by_target["__address__"]["source_labels"][1]])
        assert port == template["spec"]["containers"][0]["ports"][0]["containerPort"]


def test_traffic_is_denied_unless_it_is_named():
    denied = the("NetworkPolicy", "deny-everything")["spec"]
    assert denied["podSelector"] == {}
    assert set(denied["policyTypes"]) == {"Ingress", "Egress"}
    policies = [d["spec"] for _, d in RESOURCES if d["kind"] == "NetworkPolicy"]
    rules = itertools.chain.from_iterable(spec.get("ingress", []) for spec in policies)
    opened = {port["port"] for rule in rules for port in rule["ports"]}
    served = {port["containerPort"] for pod in PODS.values() for c in pod["containers"] for port in c.get("ports", [])}
    assert opened == served
