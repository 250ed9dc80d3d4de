"""Sections of the runbook, typed as they are written: what is installed lies where it is looked for, checks answer."""

import asyncio
import json
import re
import shutil
import sys

import pytest

from runtime.embedded.postgres import EmbeddedPostgres
from tests.deploy.documents import lines_of
from tests.support.command_line import environment, pay402, running
from tests.support.databases import execute, short_lived_home
from tests.support.programs import ROOT, run

RUNBOOK = ROOT / "docs" / "runbook.md"


def commands(heading):
    """The commands of a section, comments apart, with what their comment says."""
    section = RUNBOOK.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    block = "\n".join(re.findall(r"^ {4}(.*)$", section, re.MULTILINE))
    comments = re.findall(r"\s#\s(.*)$", re.sub(r"\\\n\s*", "", block), re.MULTILINE)
    return [piece.text.strip() for piece in lines_of(RUNBOOK, block)], comments


def test_what_is_installed_for_systemd_lies_where_the_units_look_for_it(tmp_path):
    typed = [line for line in commands("Deploy")[0] if line.startswith("install ")]
    assert len(typed) == 4
    script = "\n".join(typed).replace(" /etc/", f" {tmp_path}/etc/").replace(" /usr/", f" {tmp_path}/usr/")
    (tmp_path / "usr/local/sbin").mkdir(parents=True)
    run("sh", "-euc", f"editor() {{ true; }}\n{script}", cwd=ROOT)
    units = tmp_path / "etc/systemd/system"
    expected = {path.name for path in (ROOT / "deploy/systemd").iterdir()}
    assert {path.name for path in units.iterdir()} | {"hardening.conf", "settings.example", "pay402.sh"} == expected | {
        "pay402-.service.d"
    }
    assert (units / "pay402-.service.d/hardening.conf").exists()
    # The units name these two by their places.
    assert "EnvironmentFile=/etc/pay402/settings" in (units / "pay402-.service.d/hardening.conf").read_text()
    assert (tmp_path / "etc/pay402/settings").exists()
    assert run("sh", "-n", tmp_path / "usr/local/sbin/pay402") == ""
    # What the first unit calls comes with the code, and every other calls a command of its environment.
    called = set(
        re.findall(
            r"^ExecStart=/opt/pay402/(\S+)", "".join(p.read_text() for p in units.glob("*.service")), re.MULTILINE
        )
    )
    assert called == {"deploy/secrets.sh", "bin/pay402"}


async def test_the_owner_that_is_made_may_do_what_it_has_to(home, tmp_path):
    """Migrate, and take a backup that is verified, on a server that knows nobody yet."""
    made = [line for line in commands("Database")[0] if line.startswith("psql ")]
    with short_lived_home() as directory:
        server = EmbeddedPostgres(directory, options={"fsync": "off"})
        await asyncio.to_thread(server.enter)
        try:
            for line in made:
                await execute(server.dsn("postgres"), re.fullmatch(r'psql -c "(.*)"', line)[1])
            owner = server.dsn("pay402").replace("postgres@", "pay402@")
            for command in (
                ("migrate", "up"),
                ("migrate", "status", "--check"),
                ("backup", "--to", tmp_path, "--verify"),
            ):
                done = await pay402(*command, home=home, DATABASE_URL=owner)
                assert done.code == 0, done
        finally:
            await asyncio.to_thread(server.leave)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the runbook's commands use curl")
async def test_the_checks_after_a_deployment_answer_as_they_are_said_to(home):
    variables = {"ALLOWED_ORIGINS": "https://dashboard.example.com"}
    async with running("up", "--json", home=home, **variables) as up:
        ready = json.loads(await up.line())
        given = {**variables, "DATABASE_URL": ready["databaseUrl"], "REDIS_URL": ready["redisUrl"],
                 "SOLANA_RPC_URL": ready["rpc"], "SOLANA_WS_URL": ready["ws"]}  # fmt: skip
        wallet = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"
        assert (await pay402("recipients", "add", wallet, home=home, **given)).code == 0
        typed, comments = commands("Verify a deployment")
        has_redis_cli = shutil.which("redis-cli") is not None
        answers = {}
        for line in typed:
            if "logs " in line or line.startswith(("journalctl", "tail -f ")):
                continue  # of a container engine, a cluster, an init system; one that follows a file never ends
            if line.startswith("redis-cli ") and not has_redis_cli:
                continue  # installed by whoever runs a Redis, and not with ours
            command = line.replace("https://api.example.com", ready["api"]).replace(
                "curl ", "curl --silent --show-error "
            )
            command = re.sub(r"^pay402 ", f"{sys.executable} -m cli ", command)
            process = await asyncio.create_subprocess_shell(
                command, env=environment(home, given),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await process.communicate()
            assert process.returncode == 0, (line, out.decode(), err.decode())
            answers[line] = out.decode()
    reported = "\n".join(answers.values())
    assert len(answers) == 8 + has_redis_cli
    assert '{"status":"ok","service":"402pay-facilitator"' in reported
    assert '{"status":"ready"' in reported
    assert "HTTP/1.1 401" in reported
    assert "access-control-allow-origin: https://dashboard.example.com" in reported
    assert '{"services":[' in reported
    assert "sk_test_" in reported
    assert any("401" in comment for comment in comments)
