"""Programs of the published packages of x402, in an environment of their own, against our API on a localnet."""

import asyncio
import contextlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from indexer.main import running_indexer
from tests.support.api_client import running_api
from tests.support.ledger_checks import fast_settings
from tests.support.source_tree import ROOT
from tests.support.x402_parties import open_parties

PYTHON = ROOT / ".venv-clients" / "bin" / "python"
JAVASCRIPT = ROOT / ".venv-clients" / "javascript" / "node_modules"
EXAMPLES = ROOT / "examples"
PROGRAMS = Path(__file__).parent / "programs"
_START_SECONDS = 60


def pytest_collection_modifyitems(items):
    """Without that environment these tests cannot run: `make test-clients` makes it, and does not skip them."""
    if not (PYTHON.exists() and JAVASCRIPT.exists()) and not os.environ.get("DEMAND_CLIENTS"):
        missing = pytest.mark.skip(reason="make test-clients makes the environment of the published clients")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(missing)


@dataclass
class Clients:
    """Runs programs of theirs; `settings` are the environment variables that each of them gets."""

    directory: Path
    settings: dict[str, str]

    def keypair_file(self, keypair):
        path = self.directory / f"{keypair.pubkey()}.json"
        path.write_text(keypair.to_json())
        return str(path)

    async def run(self, program, *arguments, **more):
        """What a program prints, as JSON, once it has ended well."""
        running = await self._start(program, arguments, more)
        output, errors = await asyncio.wait_for(running.communicate(), _START_SECONDS)
        assert running.returncode == 0, errors.decode()
        return json.loads(output)

    @contextlib.asynccontextmanager
    async def serving(self, program, *arguments, **more):
        """The address of a program that serves."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = await self._start(program, arguments, {"PORT": str(port), **more})
        url = f"http://127.0.0.1:{port}"
        try:
            await _answers(url, running)
            yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                running.terminate()
            await running.communicate()

    async def _start(self, program, arguments, more):
        environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(JAVASCRIPT), **self.settings, **more}
        runner = "node" if Path(program).suffix == ".cjs" else str(PYTHON)
        return await asyncio.create_subprocess_exec(
            runner, str(program), *map(str, arguments),
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip


async def _answers(url, running):
    async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as http:
        while True:
            assert running.returncode is None, (await running.stderr.read()).decode()
            try:
                async with http.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


@pytest.fixture
async def parties(net, pool):
    return await open_parties(net, pool)


@pytest.fixture
async def clients(parties, database_url, redis_url, net, tmp_path):
    """The published clients, with an indexer and an API of ours that are up."""
    indexing = running_indexer(fast_settings(INDEXER_FINALIZE_SECONDS=0.2), database_url, [net.rpc_url], [net.ws_url])
    async with indexing, running_api(database_url, redis_url, [net.rpc_url], **parties.settings) as api:
        yield Clients(tmp_path, {"X402_FACILITATOR_URL": f"{api.url}/x402", "SOLANA_RPC_URL": net.rpc_url})
