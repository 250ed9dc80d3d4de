"""`/health` of the indexer says which of its work does not get done, and that it gets done again."""

import asyncio
import itertools
from functools import partial

import aiohttp
import pytest
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from chain.backoff import Backoff
from chain.rpc import RpcLimits
from indexer import context, heal, liveness, pipeline, witness
from indexer.main import running_indexer
from localnet import Localnet
from localnet import payments as pay
from runtime import heartbeat
from tests.support.ledger_checks import eventually, fast_settings, follow


async def health(indexer):
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{indexer.metrics_port}/health") as answer,
    ):
        return answer.status, await answer.json()


INTERVALS = ("AUDIT", "FINALIZE", "PATIENCE", "POLL", "SCAN", "SILENCE")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(liveness, "_LIMIT_SECONDS_MIN", 1.5)
    monkeypatch.setattr(liveness, "_LOOK_SECONDS", 0.05)
    return fast_settings(**{f"INDEXER_{name}_SECONDS": 0.3 for name in INTERVALS})


@pytest.fixture
def impatient_but_with_sockets(impatient):
    """Its sockets are given the time to speak: what they say is the thing."""
    seconds = {f"INDEXER_{name}_SECONDS": 0.3 for name in INTERVALS}
    return fast_settings(**{**seconds, "INDEXER_SILENCE_SECONDS": 20})


async def until_unwell(indexer, loop):
    async def named():
        status, answer = await health(indexer)
        return status == 503 and any(reason.startswith(f"{loop} last succeeded") for reason in answer["reasons"])

    await eventually(named)


async def until_well(indexer):
    async def well():
        return await health(indexer) == (200, {"status": "ok"})

    await eventually(well)


async def test_an_indexer_that_works_is_well(market, net, database_url, impatient):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)


@pytest.mark.parametrize("loop", ["audit", "finalize", "scan"])
async def test_passes_that_fail_make_it_unwell_until_they_succeed(market, net, database_url, impatient, loop):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        await market.pay(pay.plain(market.payers[0].pubkey(), market.recipients[0].pubkey(), 5), market.payers[0])
        methods = {
            "audit": ["getMultipleAccounts"],
            "finalize": ["getSlot", "getSignatureStatuses"],
            "scan": ["getTokenAccountsByOwner", "getProgramAccounts"],
        }[loop]
        net.set_faults({"serverErrors": {"rate": 1, "methods": methods}})
        await until_unwell(indexer, loop)
        net.set_faults(None)
        await until_well(indexer)


async def test_sockets_that_fall_silent_again_and_again_make_it_unwell(market, net, database_url, impatient):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        net.set_faults({"socketsDeaf": {"rate": 1, "methods": ["slotNotification"]}})
        await until_unwell(indexer, "sockets")
        net.set_faults(None)
        await until_well(indexer)


async def test_payments_that_wait_to_be_recorded_in_vain_make_it_unwell(market, net, database_url, impatient, pool):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE transfers IN ACCESS EXCLUSIVE MODE")
            await market.pay(pay.plain(market.payers[0].pubkey(), market.recipients[0].pubkey(), 6), market.payers[0])
            await until_unwell(indexer, "record")
        await until_well(indexer)


async def until_unwell_while_idle(indexer):
    """Wait until recording is overdue and stays so although nothing waits: a stall of the loop alone is not meant."""

    async def stays_overdue():
        for _ in range(4):
            overdue = any(reason.startswith("record ") for reason in indexer.metrics.liveness.reasons())
            if not (overdue and indexer.pipeline.is_idle):
                return False
            await asyncio.sleep(2 * liveness._LOOK_SECONDS)
        return True

    await eventually(stays_overdue, seconds=40)


async def several_payments(market):
    for amount, (payer, recipient) in enumerate(zip(market.payers, market.recipients, strict=False), start=11):
        await market.pay(pay.plain(payer.pubkey(), recipient.pubkey(), amount), payer)
        await market.pay(pay.plain(payer.pubkey(), recipient.pubkey(), amount + 100), payer)


async def test_payments_that_are_given_up_one_after_the_other_make_it_unwell(
    market, net, database_url, impatient, monkeypatch
):
    # Given up at once instead of after a minute, so that there are idle moments in between.
    monkeypatch.setattr(context, "RpcLimits", partial(RpcLimits, attempts=1))
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        await eventually(lambda: indexer.heal_queue.is_idle)
        net.set_faults({"serverErrors": {"rate": 1, "methods": ["getTransaction"]}})
        await several_payments(market)
        await until_unwell_while_idle(indexer)
        net.set_faults(None)
        await until_well(indexer)


async def test_payments_that_the_database_refuses_make_it_unwell(market, net, database_url, impatient, pool):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        await pool.execute("ALTER TABLE transfers ADD CONSTRAINT none_at_all CHECK (false) NOT VALID")
        await several_payments(market)
        await until_unwell(indexer, "record")
        await pool.execute("ALTER TABLE transfers DROP CONSTRAINT none_at_all")
        await until_well(indexer)


@pytest.mark.timeout(300)
async def test_payments_that_are_lost_make_it_unwell_whatever_strangers_send_between(
    market, net, database_url, impatient_but_with_sockets, pool
):
    """Anybody can mention a followed account in a transaction that moves nothing, and as often as they like."""
    payer, account = market.payers[0], pay.token_account(market.recipients[0].pubkey(), pay.USDC)

    async def mentions():
        for units in itertools.count(100_000):
            limit = set_compute_unit_limit(units)
            mention = Instruction(limit.program_id, limit.data, [AccountMeta(account, False, False)])
            await market.pay(pay.Payment("mention", [mention], []), payer)
            await asyncio.sleep(0.1)

    await pool.execute("ALTER TABLE transfers ADD CONSTRAINT none_at_all CHECK (false) NOT VALID")
    settings = impatient_but_with_sockets
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        await several_payments(market)
        failures = indexer.metrics.fetch_failures.labels("Unrecordable")
        await eventually(lambda: failures._value.get() >= 3, seconds=60)
        strangers = asyncio.create_task(mentions())
        try:
            await until_unwell(indexer, "record")
            seen = indexer.pipeline.recorded
            await eventually(lambda: indexer.pipeline.recorded > seen + 3, seconds=60)
            assert (await health(indexer))[0] == 503
            await pool.execute("ALTER TABLE transfers DROP CONSTRAINT none_at_all")
            await until_well(indexer)
        finally:
            strangers.cancel()
            await asyncio.gather(strangers, return_exceptions=True)


async def test_one_transaction_that_can_never_be_recorded_makes_nothing_unwell(
    market, net, database_url, impatient, pool, monkeypatch
):
    # One attempt may take a while where others compute as well.
    monkeypatch.setattr(liveness, "_LIMIT_SECONDS_MIN", 4.0)
    await pool.execute("ALTER TABLE transfers ADD CONSTRAINT not_thirteen CHECK (amount <> 13) NOT VALID")
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        await market.pay(pay.plain(market.payers[0].pubkey(), market.recipients[0].pubkey(), 13), market.payers[0])
        failures = indexer.metrics.fetch_failures.labels("Unrecordable")
        await eventually(lambda: failures._value.get() >= 3)
        # Longer than recording may go without success.
        for _ in range(60):
            assert not [reason for reason in indexer.metrics.liveness.reasons() if reason.startswith("record ")]
            await asyncio.sleep(0.1)


async def test_transactions_that_can_never_be_recorded_do_not_add_up_for_good(
    market, net, database_url, impatient, pool, monkeypatch
):
    """Healing tries each of them for ever, and nothing else comes."""
    monkeypatch.setattr(pipeline, "_GIVEN_UP_SECONDS", 2.0)
    await pool.execute("ALTER TABLE transfers ADD CONSTRAINT none_at_all CHECK (false) NOT VALID")
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        await several_payments(market)
        failures = indexer.metrics.fetch_failures.labels("Unrecordable")
        await eventually(lambda: failures._value.get() >= 3, seconds=60)
        await eventually(lambda: not indexer.pipeline.is_failing, seconds=60)
        before = failures._value.get()
        await eventually(lambda: failures._value.get() >= before + 4, seconds=120)
        assert not indexer.pipeline.is_failing


async def test_histories_that_cannot_be_walked_make_it_unwell(market, net, database_url, impatient, monkeypatch):
    monkeypatch.setattr(liveness, "_HEAL_SECONDS", 0.3)
    net.set_faults({"serverErrors": {"rate": 1, "methods": ["getSignaturesForAddress"]}})
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_unwell(indexer, "healing")
        net.set_faults(None)
        await until_well(indexer)


async def test_a_shop_of_one_account_whose_history_cannot_be_walked_is_unwell(
    market, net, database_url, impatient, pool, monkeypatch
):
    """Not by the pauses between its tries, which are short here: by their failing."""
    monkeypatch.setattr(liveness, "_HEAL_SECONDS", 1.0)
    monkeypatch.setattr(heal, "_BACKOFF", Backoff(0.05, 0.2))
    await pool.execute("DELETE FROM recipients")
    await follow(pool, str(Keypair().pubkey()))
    net.set_faults({"serverErrors": {"rate": 1, "methods": ["getSignaturesForAddress"]}})
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_unwell(indexer, "healing")
        net.set_faults(None)
        await until_well(indexer)


@pytest.mark.parametrize(
    ("loop", "table"),
    [
        ("witnesses", "transfers"),
        ("index_requests", "index_requests"),
        ("backfill", "backfill_requests"),
        ("heartbeat", "heartbeats"),
    ],
)
async def test_a_loop_that_cannot_use_its_table_makes_it_unwell(
    market, net, database_url, impatient, pool, monkeypatch, loop, table
):
    monkeypatch.setattr(witness, "CONTESTED_SECONDS", 0.3)
    monkeypatch.setattr(heartbeat, "_LIMIT_SECONDS_MIN", 0.1)
    monkeypatch.setattr(heartbeat, "_INTERVALS", 1)
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            await until_unwell(indexer, loop)
        await until_well(indexer)


@pytest.mark.parametrize("loop", ["witnesses", "finalize"])
async def test_a_second_node_that_says_nothing_makes_it_unwell(market, net, database_url, impatient, monkeypatch, loop):
    monkeypatch.setattr(witness, "CONTESTED_SECONDS", 0.3)
    async with (
        Localnet.start(chain=net.chain) as second,
        running_indexer(impatient, database_url, [net.rpc_url, second.rpc_url], [net.ws_url, second.ws_url]) as indexer,
    ):
        await until_well(indexer)
        second.set_faults({"serverErrors": {"rate": 1, "methods": ["getSignatureStatuses"]}})
        await market.pay(pay.plain(market.payers[0].pubkey(), market.recipients[0].pubkey(), 5), market.payers[0])
        await until_unwell(indexer, loop)
        second.set_faults(None)
        await until_well(indexer)


async def test_a_node_that_never_reaches_what_is_final_makes_it_unwell(market, net, database_url, impatient):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        # As where several nodes share one address, and one of them has stood still.
        net.set_faults({"nodeBehindSlots": {"rate": 1, "amount": 150, "methods": ["getSignatureStatuses"]}})
        await market.pay(pay.plain(market.payers[0].pubkey(), market.recipients[0].pubkey(), 5), market.payers[0])
        await until_unwell(indexer, "finalize")
        net.set_faults(None)
        await until_well(indexer)


async def test_recipients_that_cannot_be_read_make_it_unwell(market, net, database_url, impatient, pool):
    async with running_indexer(impatient, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await until_well(indexer)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE recipients IN ACCESS EXCLUSIVE MODE")
            await until_unwell(indexer, "discover")
        await until_well(indexer)
