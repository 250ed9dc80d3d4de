"""`pay402 up`: everything together, ready in one line, and gone without a trace."""

import asyncio
import contextlib
import json
import os
import signal
from urllib.parse import urlsplit

import aiohttp
import psutil
from solders.keypair import Keypair
from websockets.asyncio.client import connect

from localnet.payments import USDC
from migrations.status import status
from runtime.database import open_connection
from tests.support.command_line import eventually, pay402, processes_of, running

FAST = ("--slot-seconds", "0.05")
WALLET = str(Keypair.from_seed(bytes([8]) * 32).pubkey())


async def ask(rpc_url, method, *params):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with aiohttp.ClientSession() as session, session.post(rpc_url, json=body) as response:
        return (await response.json())["result"]


async def transfers(dsn):
    async with open_connection(dsn) as connection:
        return await connection.fetch("SELECT destination_owner, amount FROM transfers")


# The settlement wallet of the localnet is there from the start.
_ADDED = "SELECT address FROM recipients WHERE user_id <> 'marketplace'"


async def recipients(dsn):
    async with open_connection(dsn) as connection:
        return [row["address"] for row in await connection.fetch(_ADDED)]


def indexer_of(up):
    (found,) = [one for one in psutil.Process(up.pid).children() if "indexer" in one.cmdline()]
    return found


async def test_everything_works_as_soon_as_the_line_is_printed_and_ends_with_sigterm(home):
    async with running("up", "--json", *FAST, home=home) as up:
        ready = json.loads(await up.line())
        assert {"api", "rpc", "ws", "databaseUrl", "redisUrl"} <= set(ready)
        assert await ask(ready["rpc"], "getHealth") == "ok"
        assert (await status(ready["databaseUrl"])).is_current
        redis = urlsplit(ready["redisUrl"])
        reader, writer = await asyncio.open_connection(redis.hostname, redis.port)
        writer.write(b"PING\r\n")
        assert await reader.readline() == b"+PONG\r\n"
        writer.close()
        async with connect(ready["ws"]) as socket:
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"}))
            assert "result" in json.loads(await asyncio.wait_for(socket.recv(), 5))
        async with aiohttp.ClientSession() as session, session.get(ready["indexerMetrics"]) as metrics:
            assert "pay402_" in await metrics.text()

        # Payments over x402 are settled without any setting, by a fee payer of its own.
        async with aiohttp.ClientSession() as session, session.get(f"{ready['api']}/x402/supported") as supported:
            (fee_payer,) = (await supported.json())["signers"]["solana:*"]
        assert (await ask(ready["rpc"], "getBalance", fee_payer))["value"] >= 10**9
        assert oct((home / "fee-payer.json").stat().st_mode)[-3:] == "600"

        # A wallet added by another command of this home is followed at once, with no address said.
        added = await pay402("recipients", "add", WALLET, home=home)
        assert (added.code, added.err) == (0, "")
        await ask(ready["rpc"], "localnet_fundToken", WALLET, str(USDC), 0)
        payer = str(Keypair().pubkey())
        await ask(ready["rpc"], "requestAirdrop", payer, 10**9)
        await ask(ready["rpc"], "requestAirdrop", WALLET, 5_000_001)
        await eventually(lambda: _holds(ready["databaseUrl"], 5_000_001))

        names = {process.name() for process in processes_of(home)}
        assert {"postgres", "valkey-server"} <= names
        done = await up.stopped()
        assert (done.code, done.out) == (0, "")
        assert "Traceback" not in done.err
        assert "Warning" not in done.err
    assert processes_of(home) == []
    assert not (home / "localnet.json").exists()
    assert not (home / "valkey.json").exists()


async def _holds(dsn, amount):
    return (WALLET, amount) in [tuple(row) for row in await transfers(dsn)]


async def test_two_systems_run_side_by_side_though_they_start_at_once_and_each_finds_its_own(home):
    homes = [home / "one", home / "two"]
    first_up, second_up = (running("up", "--json", *FAST, home=one) for one in homes)
    async with first_up as one, second_up as two:
        first, second = [json.loads(line) for line in await asyncio.gather(one.line(), two.line())]
        for name in ("rpc", "ws", "databaseUrl", "redisUrl", "indexerMetrics"):
            assert first[name] != second[name]
        assert (await pay402("recipients", "add", WALLET, home=homes[0])).code == 0
        assert await recipients(first["databaseUrl"]) == [WALLET]
        assert await recipients(second["databaseUrl"]) == []

        assert (await one.stopped()).code == 0
        assert processes_of(homes[0]) == []
        assert await ask(second["rpc"], "getHealth") == "ok"
        assert await recipients(second["databaseUrl"]) == []
        assert (await two.stopped()).code == 0
    assert processes_of(home) == []


async def test_an_indexer_that_dies_is_started_again_and_misses_nothing(home, database_url, redis_url):
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    async with running("up", "--json", *FAST, home=home, **given) as up:
        ready = json.loads(await up.line())
        assert (await pay402("recipients", "add", WALLET, home=home, **given)).code == 0
        victim = indexer_of(up)
        victim.kill()
        await ask(ready["rpc"], "requestAirdrop", WALLET, 5_000_002)
        await eventually(lambda: _holds(database_url, 5_000_002))
        assert indexer_of(up).pid != victim.pid
        # Ctrl-C on a terminal reaches every process of the group.
        os.killpg(up.pid, signal.SIGINT)
        done = await up.ended()
        assert (done.code, done.out) == (0, "")
        assert "Traceback" not in done.err
    assert processes_of(home) == []


async def test_sigterm_while_it_starts_leaves_nothing_behind(home):
    async with running("up", "--json", *FAST, home=home) as up:
        await eventually((home / "postgres" / "postmaster.pid").exists)
        done = await up.stopped()
        assert done.code == 0
        assert "Traceback" not in done.err
    assert processes_of(home) == []


async def test_what_is_configured_is_used_and_not_embedded(home, database_url, redis_url, net):
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SOLANA_RPC_URL": net.rpc_url}
    async with running("up", "--json", home=home, **given) as up:
        ready = json.loads(await up.line())
        assert (ready["databaseUrl"], ready["redisUrl"]) == (database_url, redis_url)
        assert (ready["rpc"], ready["ws"]) == (net.rpc_url, net.ws_url)
        assert list(home.iterdir()) == []
        assert (await up.stopped()).code == 0


async def test_a_taken_port_of_the_localnet_is_reported_and_nothing_stays(home, taken_port, database_url, redis_url):
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    done = await pay402("up", "--json", "--rpc-port", taken_port, home=home, **given)
    assert (done.code, done.out) == (1, "")
    assert f"Port {taken_port} or {taken_port + 1} is taken" in done.err.splitlines()[0]
    assert "Traceback" not in done.err
    assert processes_of(home) == []


async def test_a_system_that_was_killed_takes_its_processes_with_it(home, database_url, redis_url):
    async with running(
        "up", "--json", *FAST, home=home, DATABASE_URL=database_url, REDIS_URL=redis_url, METRICS_PORT="0"
    ) as up:
        await up.line()
        children = psutil.Process(up.pid).children()
        assert len(children) == 4
        os.kill(up.pid, signal.SIGKILL)
        await eventually(lambda: not any(child.is_running() for child in children))


async def test_an_indexer_that_dies_again_before_it_is_ready_does_not_take_the_system_with_it(
    home, database_url, redis_url
):
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    async with running("up", "--json", *FAST, home=home, **given) as up:
        ready = json.loads(await up.line())
        assert (await pay402("recipients", "add", WALLET, home=home, **given)).code == 0
        killed = set()
        while len(killed) < 3:
            for one in psutil.Process(up.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "indexer" in one.cmdline() and one.pid not in killed:
                        killed.add(one.pid)
                        one.kill()
            await asyncio.sleep(0.05)
        await ask(ready["rpc"], "requestAirdrop", WALLET, 5_000_003)
        await eventually(lambda: _holds(database_url, 5_000_003), seconds=60)
        assert (await up.stopped()).code == 0
    assert processes_of(home) == []


async def test_a_second_start_never_has_a_ledger_of_the_chain_before(home):
    async with running("up", "--json", *FAST, home=home) as up:
        first = json.loads(await up.line())
        assert (await pay402("recipients", "add", WALLET, home=home)).code == 0
        assert (await pay402("keys", "create", "--user", "shop", home=home)).code == 0
        await ask(first["rpc"], "requestAirdrop", WALLET, 5_000_004)
        await eventually(lambda: _holds(first["databaseUrl"], 5_000_004))
        os.killpg(up.pid, signal.SIGINT)
        assert (await up.ended()).code == 0
    async with running("up", "--json", *FAST, home=home) as up:
        second = json.loads(await up.line())
        assert not await _holds(second["databaseUrl"], 5_000_004)
        assert await recipients(second["databaseUrl"]) == []
        async with open_connection(second["databaseUrl"]) as connection:
            assert await connection.fetchval("SELECT count(*) FROM api_keys WHERE user_id = 'shop'") == 1
        assert (await pay402("recipients", "add", WALLET, home=home)).code == 0
        await ask(second["rpc"], "requestAirdrop", WALLET, 5_000_005)
        await eventually(lambda: _holds(second["databaseUrl"], 5_000_005))
        assert (await pay402("audit", home=home)).code == 0
        done = await up.stopped()
        assert done.code == 0
        assert "ledger_emptied" in done.err
    assert processes_of(home) == []


async def test_a_ledger_of_ones_own_is_never_emptied_for_a_new_local_chain(home, database_url, redis_url):
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    async with running("up", "--json", *FAST, home=home, **given) as up:
        await up.line()
        assert (await up.stopped()).code == 0
    done = await pay402("up", "--json", *FAST, home=home, **given)
    assert (done.code, done.out) == (1, "")
    assert "is about another chain than the local one" in done.err
    assert processes_of(home) == []
