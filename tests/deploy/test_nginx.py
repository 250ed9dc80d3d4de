"""nginx with our configuration, before stand-ins for the API: limits, failover, and restarts under load."""

import asyncio
import contextlib
import io
import os
import socket
import subprocess
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientSession, TCPConnector, web

from tests.support.programs import DEPLOY, tool


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Process:
    """A stand-in for one API process, which answers with its name and takes a moment for it."""

    name: str
    port: int = field(default_factory=free_port)
    seen: list = field(default_factory=list)
    starts: int = 0
    runner: web.AppRunner | None = None

    async def start(self):
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._answer)
        self.runner = web.AppRunner(application, shutdown_timeout=5)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.starts += 1

    async def stop(self):
        await self.runner.cleanup()

    async def _answer(self, request):
        self.seen.append((request.method, request.path, request.headers.get("X-Forwarded-For")))
        await asyncio.sleep(0.01)
        return web.Response(text=self.name)


@contextlib.asynccontextmanager
async def processes():
    both = Process("one"), Process("two")
    for process in both:
        await process.start()
    try:
        yield both
    finally:
        for process in both:
            await process.stop()


def configured(directory, ports, port):
    """Our configuration on another port, with a certificate of its own; returns nginx's arguments."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api.example.com",
         "-keyout", directory / "privkey.pem", "-out", directory / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    site = (DEPLOY / "nginx" / "402pay.conf").read_text().replace("/etc/ssl/402pay", str(directory))
    for ours, theirs in zip((3001, 3002), ports, strict=True):
        site = site.replace(f"127.0.0.1:{ours}", f"127.0.0.1:{theirs}")
    site = site.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    site = site.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;")
    (directory / "site.conf").write_text(site)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log stderr; events {{}}"
        f" http {{ access_log off; {paths} include {directory}/site.conf; }}"
    )
    return [tool("nginx"), "-c", str(directory / "nginx.conf"), "-e", "stderr"]


@contextlib.asynccontextmanager
async def nginx(directory, ports):
    """A real nginx; yields a function that asks it."""
    port = free_port()
    arguments = configured(directory, ports, port)
    checked = subprocess.run([*arguments, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with (directory / "nginx.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(*arguments, stderr=log)
    try:
        await asyncio.sleep(0.3)
        assert running.returncode is None, (directory / "nginx.log").read_text()
        async with ClientSession(connector=TCPConnector(ssl=False, force_close=True)) as session:

            async def ask(method, path, **options):
                async with session.request(method, f"https://127.0.0.1:{port}{path}", **options) as answer:
                    return answer.status, await answer.text()

            yield ask
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        await running.wait()


async def test_metrics_are_hidden_bodies_bounded_and_a_process_that_is_gone_passed_over(tmp_path):
    async with processes() as (one, two), nginx(tmp_path, (one.port, two.port)) as ask:
        forged = {"X-Forwarded-For": "6.6.6.6"}
        names = {(await ask("POST", "/verify", data=b"x", headers=forged))[1] for _ in range(10)}
        assert names == {"one", "two"}
        assert {seen[2] for seen in one.seen + two.seen} == {"127.0.0.1"}
        assert (await ask("GET", "/metrics"))[0] == 404
        assert (await ask("POST", "/verify", data=io.BytesIO(b"x" * 1_100_000)))[0] == 413
        # One process ends: every request goes to the other, also those that change something.
        await one.stop()
        for _ in range(20):
            assert await ask("POST", "/verify", data=b"x") == (200, "two")
        await one.start()


@contextlib.asynccontextmanager
async def systemctl(directory, both):
    """A `systemctl` that restarts the stand-ins, and an `nginx` that is the one of this test; yields their PATH."""

    async def restart(request):
        (process,) = [one for one in both if request.path.endswith(f"@{one.port}")]
        await process.stop()
        await asyncio.sleep(0.2)
        await process.start()
        return web.Response()

    application = web.Application()
    application.router.add_post("/{unit}", restart)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    programs = directory / "bin"
    programs.mkdir()
    real = tool("nginx")
    (programs / "systemctl").write_text(f'#!/bin/sh\ncurl -sf -X POST "http://127.0.0.1:{port}/$2"\n')
    (programs / "nginx").write_text(f'#!/bin/sh\nexec {real} -c {directory}/nginx.conf -e stderr "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    try:
        yield f"{programs}:{os.environ['PATH']}"
    finally:
        await runner.cleanup()


async def restarted(directory, path, *ports):
    process = await asyncio.create_subprocess_exec(
        DEPLOY / "nginx" / "rolling-restart.sh",
        *map(str, ports),
        env={"PATH": path, "SITE": str(directory / "site.conf"), "PAUSE_SECONDS": "0.5"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_processes_are_restarted_one_by_one_and_no_request_is_lost(tmp_path):
    tool("curl")
    async with processes() as both, nginx(tmp_path, (both[0].port, both[1].port)) as ask:
        before = (tmp_path / "site.conf").read_text()
        answers, over = [], asyncio.Event()

        async def load():
            while not over.is_set():
                answers.append((await ask("POST", "/verify", data=b"x"))[0])
                await asyncio.sleep(0.02)

        loads = [asyncio.create_task(load()) for _ in range(2)]
        async with systemctl(tmp_path, both) as path:
            code, out, err = await restarted(tmp_path, path, both[0].port, both[1].port)
        over.set()
        await asyncio.gather(*loads)
    assert code == 0, err
    assert out == f"{both[0].port} restarted\n{both[1].port} restarted\n"
    assert [process.starts for process in both] == [2, 2]
    assert set(answers) == {200}
    assert len(answers) > 50
    # What was written into the configuration is taken out again.
    assert (tmp_path / "site.conf").read_text() == before


@pytest.mark.parametrize("ports", [(), (3001,), (3001, 4000)])
async def test_what_cannot_be_restarted_is_refused_before_anything_is_touched(tmp_path, ports):
    configuration = (DEPLOY / "nginx" / "402pay.conf").read_text()
    (tmp_path / "site.conf").write_text(configuration)
    code, out, err = await restarted(tmp_path, os.environ["PATH"], *ports)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert (tmp_path / "site.conf").read_text() == configuration
