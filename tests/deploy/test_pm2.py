"""The processes under PM2: its file says what systemd's units say, and PM2, where it is installed, starts them."""

import json
import os
import re
import shutil
import subprocess

import pytest

from cli.main import COMMANDS
from tests.support.programs import DEPLOY, run, tool

FILE = DEPLOY / "pm2" / "ecosystem.config.js"
UNITS = DEPLOY / "systemd"


@pytest.fixture(scope="module")
def apps():
    """The processes of the file, as Node.js reads it."""
    print_them = f"console.log(JSON.stringify(require({json.dumps(str(FILE))}).apps))"
    return json.loads(run("node", "--eval", print_them))


def test_every_process_is_a_command_of_ours_and_runs_once(apps):
    assert [app["args"] for app in apps] == ["api", "api", "indexer", "worker"]
    assert set(COMMANDS) >= {app["args"] for app in apps}
    assert len({app["name"] for app in apps}) == len(apps)
    for app in apps:
        # PM2's cluster is one of Node.js; it would take the command for a script.
        assert (app["interpreter"], app["exec_mode"]) == ("none", "fork")
        assert "instances" not in app
        assert f"ExecStart={app['script']} {app['args']}" in "".join(
            path.read_text(encoding="utf-8") for path in UNITS.glob("*.service")
        )
        (seconds,) = re.findall(r"TimeoutStopSec=(\d+)", (UNITS / "pay402-indexer.service").read_text(encoding="utf-8"))
        assert app["kill_timeout"] == int(seconds) * 1000


def test_every_process_has_what_its_unit_has(apps):
    hardening = (UNITS / "hardening.conf").read_text(encoding="utf-8")
    example = (UNITS / "settings.example").read_text(encoding="utf-8")
    for app in apps:
        (unit,) = UNITS.glob(f"pay402-{app['args']}*.service")
        text = hardening + unit.read_text(encoding="utf-8")
        given = dict(re.findall(r"(\w+_FILE)=%d/(\w+)", text))
        loaded = dict(re.findall(r"LoadCredential=(\w+):(\S+)", text))
        wanted = {name: loaded[credential] for name, credential in given.items()}
        # Payouts are signed elsewhere, unless an operator gives the worker the key.
        wanted.pop("SETTLEMENT_KEYPAIR_FILE", None)
        assert {name: value for name, value in app["env"].items() if name.endswith("_FILE")} == wanted
        plain = {name for name in app["env"] if not name.endswith("_FILE")}
        known = set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", hardening + example + unit.read_text(encoding="utf-8")))
        assert plain <= known | {"PORT", "HOST"}
        assert app["env"]["APP_ENV"] == "production"
    ports = [app["env"]["PORT"] for app in apps if app["args"] == "api"]
    nginx = (DEPLOY / "nginx" / "402pay.conf").read_text(encoding="utf-8")
    assert ports == [int(port) for port in re.findall(r"server 127\.0\.0\.1:(\d+)", nginx)]


def test_no_secret_stands_in_the_file():
    assert not re.search(r"(postgres|redis)(ql|s)?://|sk_(live|test)_", FILE.read_text(encoding="utf-8"))


@pytest.mark.skipif(shutil.which("pm2") is None, reason="PM2 is not installed")
def test_pm2_starts_and_stops_them(tmp_path):
    """PM2 itself, with a stand-in for our command that shows what it was given and how it was ended."""
    (tmp_path / "pay402").write_text(
        '#!/bin/sh\necho "$@ $APP_ENV $PORT $DATABASE_URL_FILE" >> $PAY402_HOME/$1-$PORT\n'
        "trap 'echo ended >> $PAY402_HOME/$1-$PORT; exit 0' INT\nwhile true; do sleep 0.1; done\n"
    )
    (tmp_path / "pay402").chmod(0o755)
    text = FILE.read_text(encoding="utf-8").replace("/opt/pay402/bin/pay402", str(tmp_path / "pay402"))
    (tmp_path / "ecosystem.config.js").write_text(text.replace("/var/lib/pay402", str(tmp_path)))
    env = {"PATH": os.environ["PATH"], "PM2_HOME": str(tmp_path / "pm2"), "HOME": str(tmp_path)}
    try:
        run("pm2", "start", tmp_path / "ecosystem.config.js", env=env)
        run("pm2", "stop", "all", env=env)
    finally:
        subprocess.run([tool("pm2"), "kill"], env=env, capture_output=True, check=False, timeout=60)
    said = {path.name: path.read_text().splitlines() for path in tmp_path.iterdir() if re.match(r"\w+-\d*$", path.name)}
    assert set(said) == {"api-3001", "api-3002", "indexer-", "worker-"}
    assert said["api-3001"] == ["api production 3001 /run/pay402/api_database_url", "ended"]
    assert said["worker-"][0] == "worker production  /run/pay402/worker_database_url"


@pytest.mark.skipif(shutil.which("logrotate", path="/usr/sbin:/usr/bin") is None, reason="logrotate is not installed")
def test_logrotate_takes_its_file(tmp_path):
    text = (DEPLOY / "logs" / "logrotate.conf").read_text(encoding="utf-8")
    (tmp_path / "conf").write_text(text.replace("pay402 pay402", "root root").replace("/var/log/402pay", str(tmp_path)))
    assert "error:" not in run("logrotate", "--debug", "--state", tmp_path / "state", tmp_path / "conf")
