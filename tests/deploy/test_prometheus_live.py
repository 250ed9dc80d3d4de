"""A real Prometheus with our rules, scraping a running system: what is shown is there, and what stops is noticed."""

import asyncio
import contextlib
import json
import re
import socket

import pytest
import yaml
from aiohttp import ClientSession
from solders.keypair import Keypair

from tests.deploy.alerts_and_panels import METRIC, PROMETHEUS, QUERIES, RECORDED, without_strings
from tests.deploy.metrics_defined import FOREIGN
from tests.support.command_line import eventually, running
from tests.support.ledger_checks import FAST, follow
from tests.support.programs import tool


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    def __init__(self, session, port):
        self._session, self._url = session, f"http://127.0.0.1:{port}"

    async def is_ready(self):
        async with self._session.get(f"{self._url}/-/ready") as answer:
            return answer.status == 200

    async def get(self, path, **parameters):
        async with self._session.get(f"{self._url}/api/v1/{path}", params=parameters) as answer:
            body = await answer.json()
            assert body["status"] == "success", body
            return body["data"]

    async def query(self, expression):
        return (await self.get("query", query=expression))["result"]

    async def firing(self):
        alerts = (await self.get("alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@contextlib.asynccontextmanager
async def prometheus(directory, targets):
    """Our own configuration and rules, only quicker: what lasts minutes there lasts a second here."""
    program = tool("prometheus")
    rules = re.sub(r"\bfor: \w+", "for: 1s", (PROMETHEUS / "rules.yml").read_text())
    (directory / "rules.yml").write_text(rules)
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"}
    configuration["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [targets[job["job_name"]]]}]}
        for job in configuration["scrape_configs"]
        if job["job_name"] in targets
    ]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    with (directory / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        async with ClientSession() as session:
            opened = Prometheus(session, port)
            await eventually(opened.is_ready)
            yield opened
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def indexer(home, database_url, net, pool):
    await follow(pool, Keypair().pubkey())
    variables = {name: str(value) for name, value in FAST.items()}
    async with running(
        "indexer",
        "--json",
        home=home,
        **variables,
        DATABASE_URL=database_url,
        SOLANA_RPC_URL=net.rpc_url,
        SOLANA_WS_URL=net.ws_url,
    ) as process:
        ready = json.loads(await process.line())
        yield process, f"127.0.0.1:{ready['metricsPort']}"


async def test_an_alert_fires_when_the_indexer_is_stopped_and_the_figures_were_there_before(tmp_path, indexer):
    process, address = indexer
    async with prometheus(tmp_path, {"indexer": address}) as server:
        await eventually(lambda: server.query('up{job="indexer"} == 1'))
        await eventually(lambda: server.query("rate(pay402_newest_slot[5m]) > 0"))
        assert "IndexerDown" not in await server.firing()
        assert "SocketsStalled" not in await server.firing()
        for name, query in QUERIES.items():
            # Every query of rules and dashboards is one that this server can answer.
            assert isinstance(await server.query(query), list), name
        await process.stopped()
        await eventually(lambda: server.query('up{job="indexer"} == 0'))
        fired = await eventually(lambda: has_fired(server, "IndexerDown"))
        assert fired


async def test_what_is_shown_is_what_running_processes_report(home, indexer, database_url, redis_url, net):
    """Every metric of rules and dashboards, against the text that the processes answer to a scrape."""
    _, address = indexer
    variables = {
        "PORT": "0",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": net.rpc_url,
        "SOLANA_WS_URL": net.ws_url,
    }
    async with (
        running("api", "--json", home=home, **variables) as api,
        running("worker", "--json", home=home, **variables, METRICS_PORT="0") as worker,
        ClientSession() as session,
    ):
        served = json.loads(await api.line())["api"]
        worked = json.loads(await worker.line())["metricsPort"]
        reported = ""
        for url in (served, f"http://{address}", f"http://127.0.0.1:{worked}"):
            async with session.get(f"{url}/metrics") as answer:
                assert answer.status == 200
                reported += await answer.text()
    families = {re.sub(r"_total$", "", name) for name in re.findall(r"^# TYPE (\w+) ", reported, re.MULTILINE)}
    elsewhere = set(FOREIGN) | set(RECORDED)
    for name, query in QUERIES.items():
        for metric, _ in METRIC.findall(without_strings(query)):
            if metric not in elsewhere and not metric.startswith("pay402_backup_"):
                assert re.sub(r"_(total|bucket|sum|count)$", "", metric) in families, f"{name}: {metric}"


async def has_fired(server, alert):
    return alert in await server.firing()


async def test_a_socket_that_falls_silent_is_noticed(tmp_path, indexer, net):
    """The process lives and answers, but the chain does not move for it any more."""
    _, address = indexer
    (rule,) = [query for name, query in QUERIES.items() if name == "rule SocketsStalled"]
    # The rule looks back two minutes, for which a test has no time: the same over three seconds.
    rule = rule.replace("[2m]", "[3s]")
    async with prometheus(tmp_path, {"indexer": address}) as server:
        await eventually(lambda: server.query("changes(pay402_newest_slot[3s]) > 0"))
        assert await server.query(rule) == []
        net.set_faults({"socketsDeaf": {"rate": 1, "methods": ["slotNotification", "logsNotification"]}})
        await eventually(lambda: server.query(rule))
        assert await server.query('up{job="indexer"} == 1')
