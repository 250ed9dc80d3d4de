"""systemd units and nginx's configuration, each by its own program."""

import asyncio
import contextlib
import io
import re
import shutil
import subprocess

import pytest
from aiohttp import ClientSession, TCPConnector, web

from pay402.ops.main import COMMANDS
from tests.deploy.programs import DEPLOY, run, tool

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


def test_units_call_commands_that_exist():
    called = re.findall(
        r"ExecStart=/opt/pay402/bin/pay402 (\w+)", "".join(p.read_text() for p in UNITS.glob("*.service"))
    )
    assert set(called) == {"api", "indexer", "worker", "migrate", "backup"}
    assert set(called) - {"api", "worker"} <= set(COMMANDS)
    assert (DEPLOY / "secrets.sh").exists()


@contextlib.asynccontextmanager
async def process(name):
    """A stand-in for one API process that says its name, or 503 while it is told to be unready."""
    state = {"status": 200, "seen": []}

    async def answer(request):
        state["seen"].append((request.method, request.path, request.headers.get("X-Forwarded-For")))
        return web.Response(text=name, status=state["status"])

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state["port"] = runner.addresses[0][1]
    state["stop"] = runner.cleanup
    try:
        yield state
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def nginx(directory, ports, port):
    """A real nginx with our configuration, a certificate of its own and the given processes behind it."""
    program = tool("nginx")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api.example.com",
         "-keyout", directory / "privkey.pem", "-out", directory / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    site = (DEPLOY / "nginx" / "402pay.conf").read_text().replace("/etc/ssl/402pay", str(directory))
    for ours, theirs in zip((3001, 3002), ports, strict=True):
        site = site.replace(f"127.0.0.1:{ours}", f"127.0.0.1:{theirs}")
    site = site.replace("listen 80;", f"listen 127.0.0.1:{port + 1};")
    site = site.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;")
    (directory / "site.conf").write_text(site)
    paths = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log stderr; events {{}}"
        f" http {{ access_log off; {paths} include {directory}/site.conf; }}"
    )
    arguments = [program, "-c", str(directory / "nginx.conf"), "-e", "stderr"]
    checked = subprocess.run([*arguments, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with (directory / "nginx.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(*arguments, stderr=log)
    try:
        await asyncio.sleep(0.2)
        assert running.returncode is None, (directory / "nginx.log").read_text()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        await running.wait()


async def test_nginx_hides_metrics_bounds_bodies_and_passes_over_a_process_that_is_gone(
    tmp_path, unused_tcp_port_factory
):
    port = unused_tcp_port_factory()
    async with (
        process("one") as one,
        process("two") as two,
        nginx(tmp_path, (one["port"], two["port"]), port),
        ClientSession(connector=TCPConnector(ssl=False)) as session,
    ):
        url = f"https://127.0.0.1:{port}"

        async def ask(method, path, **options):
            async with session.request(method, url + path, **options) as answer:
                return answer.status, await answer.text()

        forged = {"X-Forwarded-For": "6.6.6.6"}
        names = {(await ask("POST", "/verify", data=b"x", headers=forged))[1] for _ in range(10)}
        assert names == {"one", "two"}
        assert {seen[2] for seen in one["seen"] + two["seen"]} == {"127.0.0.1"}
        assert (await ask("GET", "/metrics"))[0] == 404
        assert (await ask("POST", "/verify", data=io.BytesIO(b"x" * 1_100_000)))[0] == 413
        # One process ends: every request goes to the other, also those that change something.
        await one["stop"]()
        for _ in range(20):
            assert await ask("POST", "/verify", data=b"x") == (200, "two")


@pytest.fixture
def unused_tcp_port_factory():
    import socket

    def free():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return free
