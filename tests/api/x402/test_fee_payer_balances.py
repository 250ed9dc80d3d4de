"""A fee payer without SOL is said to be so, and never told as somebody's bad payment."""

from prometheus_client import CollectorRegistry
from solders.keypair import Keypair

from api.metrics import ApiMetrics
from api.settings import ApiSettings
from api.x402.fee_payer_balances import FeePayerBalances
from chain.node import Node
from chain.rpc import RpcPool
from cli.diagnosis.fee_payers import examine
from tests.support.api_client import key_for, running_api
from tests.support.ledger_checks import eventually


async def test_the_poorest_of_them_counts(parties, net):
    metrics = ApiMetrics(CollectorRegistry())
    async with RpcPool([net.rpc_url]) as pool:
        node = Node(pool)
        rich = str(parties.fee_payer.pubkey())
        one = FeePayerBalances(node, [rich], 1_000, metrics)
        assert one.status == "unknown"
        await eventually(lambda: _ok(one))
        both = FeePayerBalances(node, [rich, str(Keypair().pubkey())], 1_000, metrics)
        await both.look()
        assert (both.status, both.lowest_lamports) == ("low", 0)
        assert FeePayerBalances(node, [], 1_000, metrics).status == "off"


async def _ok(balances):
    await balances.look()
    return balances.status == "ok"


async def test_a_fee_payer_without_sol_is_an_outage_of_ours(parties, net, database_url, redis_url, pool):
    poor = Keypair()
    async with running_api(database_url, redis_url, [net.rpc_url], X402_FEE_PAYER_KEYPAIR=str(poor)) as api:
        client = api.holding(await key_for(pool))
        body = (await parties.purchase(fee_payer=poor.pubkey())).body()
        for route in ("verify", "settle"):
            reply = await client.post(f"/x402/{route}", body)
            assert reply.status == 503, reply.text
            assert "fee payer" in reply["error"]

        async def is_shown():
            ready = await client.get("/ready")
            assert ready.status == 200
            return ready["parts"]["feePayers"]["status"] == "low"

        await eventually(is_shown)
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 0


async def test_a_retired_fee_payer_without_sol_is_shown_as_the_others(parties, net, database_url, redis_url):
    retired = Keypair()
    settings = {**parties.settings, "X402_RETIRED_FEE_PAYER_KEYPAIR": str(retired)}
    async with running_api(database_url, redis_url, [net.rpc_url], **settings) as api:

        async def is_shown():
            return (await api.get("/ready"))["parts"]["feePayers"]["status"] == "low"

        await eventually(is_shown)
    findings = await examine(ApiSettings(**settings), [net.rpc_url])
    assert [(one.check, one.verdict) for one in findings] == [
        (f"fee payer {parties.fee_payer.pubkey()}", "ok"),
        (f"fee payer {retired.pubkey()}", "failure"),
    ]
