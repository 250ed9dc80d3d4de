"""systemd units, by systemd itself."""

import re
import shutil
import subprocess

import pytest

from cli.main import COMMANDS
from tests.support.programs import DEPLOY, run

UNITS = DEPLOY / "systemd"


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units as they would be installed, but for programs that are not here."""
    directory = tmp_path_factory.mktemp("units")
    for path in UNITS.iterdir():
        if path.suffix in {".service", ".timer", ".target"}:
            text = re.sub(r"^(ExecStart=)/opt/pay402/\S+", r"\1/bin/true", path.read_text(), flags=re.MULTILINE)
            (directory / path.name).write_text(text)
    (directory / "pay402-.service.d").mkdir()
    shutil.copy(UNITS / "hardening.conf", directory / "pay402-.service.d")
    return directory


def test_systemd_takes_every_unit(units):
    files = sorted(path for path in units.iterdir() if path.is_file())
    assert run("systemd-analyze", "verify", *files, env={"SYSTEMD_UNIT_PATH": f"{units}:"}) == ""


@pytest.mark.parametrize(
    "unit", ["pay402-api@3001", "pay402-indexer", "pay402-worker", "pay402-backup", "pay402-migrate"]
)
def test_a_unit_is_confined(units, unit):
    """The exposure by systemd's own reckoning, 0 to 10; without any hardening it is 9.6."""
    said = run(
        "systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=15", f"{unit}.service",
        env={"SYSTEMD_UNIT_PATH": f"{units}:"},
    )  # fmt: skip
    assert float(re.search(r"exposure level for .*: ([\d.]+)", said)[1]) <= 1.5


def test_the_settlement_key_is_for_the_worker_alone_and_may_be_missing():
    units = {path.name: path.read_text() for path in UNITS.iterdir()}
    assert [name for name, text in units.items() if "settlement_keypair" in text] == ["pay402-worker.service"]
    worker = units["pay402-worker.service"]
    # What is set stands in for a file that is not there, instead of a unit that does not start.
    assert "LoadCredential=settlement_keypair:/run/pay402/settlement_keypair" in worker
    assert "SetCredential=settlement_keypair:\\n" in worker
    assert "Environment=SETTLEMENT_KEYPAIR_FILE=%d/settlement_keypair" in worker


def test_node_exporter_may_read_what_the_backup_reports():
    unit = (UNITS / "pay402-backup.service").read_text(encoding="utf-8")
    (file,) = re.findall(r"--metrics (\S+)", unit)
    directory = file.rpartition("/")[0]
    # Not below the state directory, which is closed to other users, but in one that systemd makes for all to read.
    assert directory == f"/var/cache/{re.search(r'^CacheDirectory=(.*)$', unit, re.MULTILINE)[1]}"
    assert "CacheDirectoryMode=0755" in unit
    assert f"directory={directory}" in (DEPLOY.parent / "docs" / "runbook.md").read_text(encoding="utf-8")


@pytest.fixture
def machine(tmp_path):
    """The script that gives an operator the units' settings, and a stand-in for `pay402` that shows what it gets."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "database_url").write_text("postgresql://u:p@h/d")
    (tmp_path / "run" / "settlement_keypair").write_text("[1]")
    (tmp_path / "settings").write_text(
        '# a comment\nSOLANA_NETWORK=mainnet-beta\n\nALLOWED_ORIGINS="https://a.example,https://b.example"\n'
        "LOG_LEVEL=$(touch owned)\nSETTLEMENT_WALLET="
    )
    (tmp_path / "pay402").write_text('#!/bin/sh\necho "$@"\nenv\n')
    (tmp_path / "pay402").chmod(0o755)
    text = (UNITS / "pay402.sh").read_text(encoding="utf-8")
    for installed, here in (
        ("/etc/pay402/settings", "settings"), ("/run/pay402", "run"), ("/opt/pay402/bin/pay402", "pay402"),
    ):  # fmt: skip
        assert f"{installed}\n" in text or f"{installed} " in text
        text = text.replace(installed, str(tmp_path / here))
    (tmp_path / "pay402.sh").write_text(text)
    return tmp_path


def test_an_operator_s_command_has_what_the_units_have(machine):
    said = run("sh", machine / "pay402.sh", "recipients", "list", cwd=machine).splitlines()
    assert said[0] == "recipients list"
    given = dict(line.split("=", 1) for line in said[1:] if "=" in line)
    hardening = (UNITS / "hardening.conf").read_text(encoding="utf-8")
    for name in ("APP_ENV", "PAY402_HOME"):
        assert f"{name}={given[name]}" in hardening
    assert given["SOLANA_NETWORK"] == "mainnet-beta"
    assert given["ALLOWED_ORIGINS"] == "https://a.example,https://b.example"
    assert given["LOG_LEVEL"] == "$(touch owned)"
    assert not (machine / "owned").exists()
    assert given["DATABASE_URL_FILE"] == f"{machine}/run/database_url"
    assert given["SETTLEMENT_KEYPAIR_FILE"] == f"{machine}/run/settlement_keypair"


@pytest.mark.parametrize("missing", ["settings", "run/database_url"])
def test_a_command_without_settings_is_not_run_as_on_a_developer_s_machine(machine, missing):
    (machine / missing).unlink()
    done = subprocess.run(["sh", machine / "pay402.sh", "doctor"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")


def test_units_call_commands_that_exist():
    called = re.findall(
        r"ExecStart=/opt/pay402/bin/pay402 (\w+)", "".join(p.read_text() for p in UNITS.glob("*.service"))
    )
    assert set(called) == {"api", "indexer", "worker", "migrate", "backup"}
    assert set(called) <= set(COMMANDS)
    assert (DEPLOY / "secrets.sh").exists()
