"""Each process of a deployment comes into the database with its own login, and none can see another's."""

import re
import subprocess

import pytest
import yaml

from tests.deploy.manifests import PODS, the
from tests.support.programs import DEPLOY, ROOT

PROCESSES = ("api", "indexer", "worker")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
OWNERS = {f"{name}_database_url" for name in PROCESSES} | {"database_url"}


@pytest.mark.parametrize("name", PROCESSES)
def test_compose_gives_a_process_its_own_address_and_no_other(name):
    service = COMPOSE[name]
    assert service["environment"]["DATABASE_URL_FILE"] == f"/run/secrets/{name}_database_url"
    assert OWNERS & set(service["secrets"]) == {f"{name}_database_url"}


@pytest.mark.parametrize("name", PROCESSES)
def test_kubernetes_gives_a_process_its_own_address_and_no_other(name):
    mounted = [volume["secret"] for volume in PODS[name]["volumes"] if "secret" in volume]
    (items,) = [secret["items"] for secret in mounted if secret["secretName"] == "pay402"]
    seen = {item["key"]: item["path"] for item in items}
    assert {key for key in seen if key in OWNERS} == {f"{name}_database_url"}
    assert seen[f"{name}_database_url"] == "database_url"
    provided = {entry["secretKey"] for entry in the("ExternalSecret", "pay402")["spec"]["data"]}
    assert set(seen) <= provided
    # What the ConfigMap says of files is there in every pod.
    read = {
        value.rsplit("/", 1)[1] for key, value in the("ConfigMap", "pay402")["data"].items() if key.endswith("_FILE")
    }
    assert read <= set(seen.values())


@pytest.mark.parametrize(
    ("unit", "name"), [("pay402-api@", "api"), ("pay402-indexer", "indexer"), ("pay402-worker", "worker")]
)
def test_systemd_gives_a_unit_its_own_address_and_no_other(unit, name):
    text = (DEPLOY / "systemd" / f"{unit}.service").read_text(encoding="utf-8")
    loaded = re.findall(r"^LoadCredential=(\w*database_url):(\S+)$", text, re.MULTILINE)
    assert loaded == [("database_url", f"/run/pay402/{name}_database_url")]
    # The drop-in, which is for all of them, must not bring back the owner's.
    common = (DEPLOY / "systemd" / "hardening.conf").read_text(encoding="utf-8")
    assert "LoadCredential=database_url" not in common
    assert "Environment=DATABASE_URL_FILE=%d/database_url" in common


def test_the_migration_makes_the_logins_everywhere():
    names = {f"{name.upper()}_DATABASE_URL_FILE" for name in PROCESSES}
    assert names <= COMPOSE["migrate"]["environment"].keys()
    assert set(COMPOSE["migrate"]["secrets"]) >= OWNERS
    (container,) = PODS["migrate"]["containers"]
    assert names == {variable["name"] for variable in container["env"]}
    assert not [volume for volume in PODS["migrate"]["volumes"] if "items" in volume.get("secret", {})]
    unit = (DEPLOY / "systemd" / "pay402-migrate.service").read_text(encoding="utf-8")
    assert names == set(re.findall(r"^Environment=(\w+)=", unit, re.MULTILINE))


def test_the_script_makes_a_login_and_a_password_for_each_and_keeps_them(tmp_path):
    def made():
        subprocess.run(["sh", DEPLOY / "secrets.sh", "new", tmp_path], check=True, capture_output=True)
        return {name: (tmp_path / f"{name}_database_url").read_text().strip() for name in PROCESSES}

    first = made()
    assert made() == first
    form = re.compile(r"postgresql://(\w+):([0-9a-f]{64})@postgres:5432/pay402")
    logins = {form.fullmatch(address).groups() for address in first.values()}
    assert {login for login, _ in logins} == {f"pay402_of_{name}" for name in PROCESSES}
    assert len({password for _, password in logins}) == 3
