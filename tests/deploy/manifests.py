"""The Kubernetes manifests, put together as `kustomize build` would."""

import kubernetes_validate
import yaml

from tests.support.programs import DEPLOY

DIRECTORY = DEPLOY / "kubernetes"
# These belong to the tool and to an operator of its own, so the API knows no schema of theirs.
FOREIGN = {"Kustomization", "Component", "ExternalSecret"}
# What an overlay may add.
COMPONENTS = sorted(path.parent for path in DIRECTORY.glob("*/kustomization.yaml"))
# The oldest version that is supported anywhere, and the newest that the schemas are there for.
VERSIONS = sorted(kubernetes_validate.utils.major_minor(one) for one in ("1.31", kubernetes_validate.latest_version()))


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def resources(*directories):
    """What `kustomize build` would put together: (file, document)."""
    built = []
    for directory in directories:
        (kustomization,) = documents(directory / "kustomization.yaml")
        for name in kustomization["resources"]:
            built += [(name, document) for document in documents(directory / name)]
        for patch in kustomization.get("patches", []):
            wanted = patch["target"]["kind"], patch["target"]["name"]
            (target,) = [document for _, document in built if identity(document) == wanted]
            for step in yaml.safe_load(patch["patch"]):
                apply(step, target)
    return built


def identity(document):
    return document["kind"], document["metadata"]["name"]


def apply(step, document):
    """One step of a JSON patch, of the kinds that we use."""
    *path, last = step["path"].removeprefix("/").split("/")
    for key in path:
        document = document[int(key) if isinstance(document, list) else key]
    if step["op"] == "remove":
        del document[last]
    else:
        assert (step["op"], last) == ("add", "-")
        document.append(step["value"])


RESOURCES = resources(DIRECTORY, *COMPONENTS)
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
    (found,) = [d for _, d in RESOURCES if identity(d) == (kind, name)]
    return found
