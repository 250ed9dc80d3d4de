"""A ledger is about one cluster: nodes of another are refused at the start, and noticed when they change later."""

import asyncio
import socket

import pytest
from aiohttp import web

from chain.backoff import Backoff
from chain.rpc import RpcError, RpcLimits, RpcPool
from ledger.cluster import named_cluster
from localnet import Localnet
from runtime.cluster import GENESIS_HASHES, WRONG_CLUSTER, check_cluster, watch_cluster
from runtime.database_errors import DatabaseTroubles
from runtime.errors import OperatorError
from runtime.metrics import new_registry
from tests.support.api_client import running_api
from tests.support.command_line import pay402
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE
from worker.context import open_worker_context


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ChangingNode:
    """A node whose genesis hash the test says; None refuses the question."""

    def __init__(self, genesis):
        self.genesis = genesis
        self.asked = 0
        self.methods = set()

    async def answer(self, request):
        call = await request.json()
        self.asked += 1
        self.methods.add(call["method"])
        if self.genesis is None:
            error = {"code": -32601, "message": "Method not found"}
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": error})
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": self.genesis})


@pytest.fixture
async def node():
    changing = ChangingNode("a private chain's")
    application = web.Application()
    application.router.add_post("/", changing.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    changing.url = "http://{}:{}".format(*runner.addresses[0])
    yield changing
    await runner.cleanup()


async def test_the_first_use_names_the_cluster_and_another_chain_is_refused_from_then_on(pool, node):
    assert await named_cluster(pool) is None
    assert await check_cluster(pool, [node.url], "localnet") == set()
    assert await named_cluster(pool) == "a private chain's"
    assert await check_cluster(pool, [node.url], "localnet") == set()
    node.genesis = "another private chain's"
    with pytest.raises(
        OperatorError, match=r"^The ledger is about another chain .*; correct SOLANA_RPC_URL"
    ) as refused:
        await check_cluster(pool, [node.url], "localnet")
    assert refused.value.exit_code == WRONG_CLUSTER
    assert await named_cluster(pool) == "a private chain's"


@pytest.mark.parametrize(
    ("network", "genesis"),
    [
        ("mainnet-beta", "a private chain's"),
        ("mainnet-beta", GENESIS_HASHES["devnet"]),
        ("devnet", GENESIS_HASHES["mainnet-beta"]),
        ("testnet", GENESIS_HASHES["devnet"]),
        ("localnet", GENESIS_HASHES["mainnet-beta"]),
    ],
)
async def test_a_node_that_does_not_serve_the_network_that_is_set_never_names_a_ledger(pool, node, network, genesis):
    node.genesis = genesis
    with pytest.raises(OperatorError, match=f"but SOLANA_NETWORK is {network}; correct SOLANA_RPC_URL or SOLANA_NETWO"):
        await check_cluster(pool, [node.url], network)
    assert await named_cluster(pool) is None


async def test_one_endpoint_of_another_cluster_is_enough(pool, node, net):
    with pytest.raises(OperatorError, match="The ledger is about another chain"):
        await check_cluster(pool, [net.rpc_url, node.url], "localnet")


async def test_a_node_that_does_not_answer_keeps_nobody_from_starting_and_is_asked_later(pool, node):
    assert await check_cluster(pool, [NO_NODE, node.url], "localnet") == {NO_NODE}
    node.genesis = None
    assert await check_cluster(pool, [node.url], "localnet") == {node.url}


async def test_a_login_that_may_not_name_the_cluster_holds_nodes_to_the_network_and_each_other(pool, node, net):
    async with pool.acquire() as connection:
        await connection.execute("SET ROLE pay402_api")
        assert await check_cluster(connection, [node.url], "localnet") == set()
        with pytest.raises(OperatorError, match="but SOLANA_NETWORK is devnet"):
            await check_cluster(connection, [node.url], "devnet")
        with pytest.raises(OperatorError, match="The ledger is about another chain"):
            await check_cluster(connection, [net.rpc_url, node.url], "localnet")
        await connection.execute("RESET ROLE")
    assert await named_cluster(pool) is None


@pytest.mark.parametrize("role", ["indexer", "worker"])
async def test_whoever_records_or_pays_names_the_cluster(pool, node, role):
    async with pool.acquire() as connection:
        await connection.execute(f"SET ROLE pay402_{role}")
        await check_cluster(connection, [node.url], "localnet")
        await connection.execute("RESET ROLE")
    assert await named_cluster(pool) == "a private chain's"


async def test_a_node_that_turns_out_to_be_of_another_cluster_ends_the_process(pool, node, monkeypatch):
    monkeypatch.setattr("runtime.cluster._UNANSWERED_BACKOFF", Backoff(0.02, 60.0))
    monkeypatch.setattr("runtime.cluster._AGAIN_SECONDS", 0.05)
    await check_cluster(pool, [node.url], "localnet")
    watched = asyncio.create_task(watch_cluster(pool, [node.url], "localnet", DatabaseTroubles(new_registry())))
    await eventually(lambda: node.asked > 3)
    assert not watched.done()
    node.genesis = "another private chain's"
    with pytest.raises(OperatorError, match="The ledger is about another chain"):
        await watched


async def test_a_node_that_was_away_at_the_start_is_asked_for_its_cluster_before_anything_else(
    pool, database_url, node, net
):
    """It would be a minute until the watch asks it; what it tells until then must not count."""
    await check_cluster(pool, [net.rpc_url], "localnet")
    away = f"http://127.0.0.1:{free_port()}"
    async with open_worker_context(fast_settings(), database_url, [away, net.rpc_url]) as context:
        for _ in range(3):
            assert await context.node.pool.call("getSlot", [], int) >= 0
        context.node.pool.endpoints[0].url = node.url
        context.node.pool.endpoints[0].resting_until = 0.0
        assert await context.node.pool.call("getSlot", [], int) >= 0
    assert node.methods == {"getGenesisHash"}


async def test_a_node_of_the_cluster_is_asked_once_and_again_after_it_was_away(pool, node):
    async with RpcPool([node.url], RpcLimits(attempts=1), genesis_hash=node.genesis) as rpc:
        for _ in range(3):
            assert await rpc.call("getAnything", [], str) == node.genesis
        assert node.asked == 4
        rpc.endpoints[0].url = NO_NODE
        with pytest.raises(RpcError, match="cannot be reached"):
            await rpc.call("getAnything", [], str)
        rpc.endpoints[0].url, rpc.endpoints[0].resting_until = node.url, 0.0
        node.genesis = "another private chain's"
        with pytest.raises(RpcError, match="serves another cluster"):
            await rpc.call("getAnything", [], str)
        # One that does not answer this question, as some providers' plans have it, may be asked the others.
        node.genesis, rpc.endpoints[0].resting_until = None, 0.0
        with pytest.raises(RpcError, match="refused getAnything"):
            await rpc.call("getAnything", [], str)


async def test_all_three_processes_refuse_to_start_on_another_chain(pool, home, database_url, redis_url, net):
    async with Localnet.start(port=0, seed=7) as other:
        await check_cluster(pool, [other.rpc_url], "localnet")
    variables = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SOLANA_RPC_URL": net.rpc_url, "PORT": "0"}
    for process in ("indexer", "worker", "api"):
        done = await pay402(process, home=home, **variables)
        assert done.code == WRONG_CLUSTER, done.err
        last = done.err.strip().splitlines()[-1]
        assert last.startswith("error: The ledger is about another chain"), done.err
    with pytest.raises(OperatorError, match="another chain"):
        async with running_api(database_url, redis_url, [net.rpc_url]):
            pass


async def test_a_private_chain_is_never_indexed_as_mainnet(pool, home, database_url, redis_url, net):
    variables = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SOLANA_RPC_URL": net.rpc_url}
    done = await pay402("indexer", home=home, SOLANA_NETWORK="mainnet-beta", **variables)
    assert (done.code, "SOLANA_NETWORK is mainnet-beta; correct" in done.err) == (WRONG_CLUSTER, True), done.err
    assert await named_cluster(pool) is None
