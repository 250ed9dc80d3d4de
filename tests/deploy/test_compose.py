"""docker-compose.yml, against the Compose Specification's schema and against what we promise of it."""

import json
import re

import jsonschema
import pytest
import yaml

from cli.main import COMMANDS
from tests.support.programs import DEPLOY, ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SCHEMA = json.loads((ROOT / "tests" / "deploy" / "compose-spec.json").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if "pay402:latest" in service["image"]}


def test_the_file_is_valid_by_the_specification():
    jsonschema.Draft201909Validator(SCHEMA).validate(COMPOSE)


def test_the_specification_would_refuse_a_mistake():
    wrong = {"services": {"api": {"image": "pay402", "healthcheck": {"intervall": "1s"}}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(SCHEMA).validate(wrong)


def test_everything_that_is_named_exists():
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"]), name
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
            elif not source.startswith("/"):
                assert source in COMPOSE["volumes"], f"{name}: {source}"
    assert set(COMPOSE["secrets"]) == {one for service in SERVICES.values() for one in service.get("secrets", [])}
    for service in OURS:
        assert SERVICES[service]["command"][0] in COMMANDS


def test_every_secret_is_a_file_that_the_script_makes_or_asks_for():
    script = (DEPLOY / "secrets.sh").read_text(encoding="utf-8")
    made = set(re.findall(r"(?:once|write) ([a-z_]+)$", script, re.MULTILINE)) | {"solana_rpc_url"}
    assert set(COMPOSE["secrets"]) <= made
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "secrets/" in ignored


def test_no_secret_stands_in_the_file_or_goes_through_the_environment():
    for name, service in SERVICES.items():
        for variable in service.get("environment", {}):
            secret = re.search(r"PASSWORD|SECRET|_URL|TOKEN|KEYPAIR", variable)
            assert not secret or variable.endswith("_FILE"), f"{name}: {variable}"
        # What a service reads from a file is mounted into it.
        if name in OURS - {"migrate", "backup"}:
            needed = {file.rsplit("/")[-1] for v, file in service["environment"].items() if v.endswith("_FILE")}
            assert needed == set(service["secrets"]), name


def test_the_settlement_key_is_for_the_worker_alone():
    assert [name for name, service in SERVICES.items() if "settlement_keypair" in service.get("secrets", [])] == [
        "worker"
    ]
    assert [name for name, service in SERVICES.items() if "KEYPAIR" in str(service.get("environment"))] == ["worker"]


def test_only_loopback_is_published_and_databases_have_no_way_out():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert COMPOSE["networks"]["inside"]["internal"]
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["inside"]


def test_processes_of_ours_are_confined_and_start_after_the_migration():
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
    for name in ("api", "indexer", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["postgres"]["image"].startswith("postgres:16")
    assert SERVICES["redis"]["image"].startswith("redis:7")


def test_every_long_lived_service_has_a_health_check():
    # The image of the API brings its own.
    for name, service in SERVICES.items():
        if service.get("restart") != "no" and name not in {"api", "node-exporter"}:
            assert "test" in service["healthcheck"], name
