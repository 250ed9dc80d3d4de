"""Two nodes, one of which lies, is down or is behind: what only one of them knows is honoured by nobody."""

from contextlib import asynccontextmanager

import pytest

from chain.rpc import RpcPool
from indexer.main import running_indexer
from ledger import finality
from ledger.claims import honour_pending
from ledger.finality import Landing
from ledger.witness import witness_state
from localnet import Localnet
from localnet import payments as pay
from localnet.market import Market
from tests.support.fixtures.followed_market import market, market_of
from tests.support.foreign_node import NOT_FOUND, ForeignNode
from tests.support.ledger_checks import eventually, fast_settings, ledger_equals_chain
from tests.support.lying_node import LyingNode
from tests.support.small_ledger import add_claim, add_merchant

__all__ = ["market", "market_of"]


@asynccontextmanager
async def second_node(net):
    async with Localnet.start(chain=net.chain) as node:
        yield node


async def pays(market, amount=7):
    payer, recipient = market.payers[0], market.recipients[0].pubkey()
    return await market.pay(pay.plain(payer.pubkey(), recipient, amount), payer)


async def state_of(pool, signature):
    return await pool.fetchrow(
        "SELECT awaits_witness_since, contested_at, finality FROM transfers WHERE signature = $1", signature
    )


async def claims(pool, market, signature):
    """A pending claim for a transfer to a followed recipient, and whether it can be honoured now."""
    row = await pool.fetchrow("SELECT * FROM transfers WHERE signature = $1", signature)
    claim = await pool.fetchval(
        "INSERT INTO transactions (user_id, nonce, signature, payer, recipient, mint, currency, amount, least_amount,"
        " environment, status) VALUES ('merchant', $1, $2, $3, $4, $5, 'USDC', $6, $6, 'live', 'pending')"
        " ON CONFLICT (user_id, nonce, signature, payer) DO UPDATE SET status = 'pending' RETURNING id",
        f"nonce of {signature}", signature, row["source_owner"], row["destination_owner"], row["mint"], row["amount"],
    )  # fmt: skip
    return await honour_pending(pool, [(claim, row["path"])])


async def test_a_payment_that_one_lying_node_invents_is_honoured_by_nobody(market, net, database_url, pool, capfd):
    """Its chain is another one, on which anybody may be rich; the other node does not know the payment."""
    # The honest node has seen more slots than any payment takes to be known.
    await eventually(lambda: net.chain.slot("confirmed") > 100)
    liar = ForeignNode(refused={"getGenesisHash": NOT_FOUND})
    async with (
        Localnet.start(slot_seconds=0.05, finalize_slots=4) as invented,
        RpcPool([invented.rpc_url]) as rpc,
        liar.before(invented),
        running_indexer(fast_settings(), database_url, [liar.url, net.rpc_url], [liar.ws_url, net.ws_url]) as indexer,
    ):
        lies = Market(rpc, market.payers, market.recipients)
        await lies.prepare()
        signature = await pays(lies, 30_000_000)
        await eventually(lambda: state_of(pool, signature))
        assert await claims(pool, market, signature) == {}

        async def contested():
            return (await state_of(pool, signature))["contested_at"]

        await eventually(contested)
        assert (await witness_state(pool)).contested >= 1
        assert await claims(pool, market, signature) == {}
        assert (await state_of(pool, signature))["finality"] == "confirmed"
        await eventually(lambda: indexer.metrics.contested._value.get() >= 1)
    assert "payments_contested" in capfd.readouterr().out


async def test_a_payment_that_two_nodes_know_is_honoured_and_becomes_final(market, net, database_url, pool):
    async with (
        second_node(net) as other,
        running_indexer(fast_settings(), database_url, [net.rpc_url, other.rpc_url], [net.ws_url]) as indexer,
    ):
        signature = await pays(market)
        await ledger_equals_chain(pool, market)

        async def final():
            row = await state_of(pool, signature)
            return row["awaits_witness_since"] is None and row["finality"] == "finalized"

        await eventually(final)
        assert len(await claims(pool, market, signature)) == 1
        assert (await witness_state(pool)).awaiting == 0
        assert indexer.metrics.contested._value.get() == 0


@pytest.mark.parametrize(
    "fault", [{"serverErrors": {"rate": 1}}, {"nodeBehindSlots": {"amount": 120}}], ids=["down", "behind"]
)
async def test_a_second_node_that_is_down_or_behind_contests_nothing(market, net, database_url, pool, fault):
    await eventually(lambda: net.chain.slot("finalized") > 130)
    async with (
        second_node(net) as other,
        running_indexer(fast_settings(), database_url, [net.rpc_url, other.rpc_url], [net.ws_url]) as indexer,
    ):
        await eventually(lambda: indexer.heal_queue.is_idle)
        fault_of = {name: spec | {"methods": ["getSignatureStatuses"]} for name, spec in fault.items()}
        other.set_faults(fault_of if "serverErrors" in fault else fault)
        signature = await pays(market)
        await eventually(lambda: state_of(pool, signature))
        outcome = "unreachable" if "serverErrors" in fault else "behind"
        answers = indexer.metrics.witness_answers.labels("127.0.0.1", outcome)
        before = answers._value.get()
        await eventually(lambda: answers._value.get() > before + 2)
        row = await state_of(pool, signature)
        assert row["awaits_witness_since"] is not None
        assert row["contested_at"] is None
        assert await claims(pool, market, signature) == {}
        other.set_faults(None)

        async def witnessed():
            return (await state_of(pool, signature))["awaits_witness_since"] is None

        await eventually(witnessed)
        assert len(await claims(pool, market, signature)) == 1


@pytest.mark.parametrize("liar_is_first", [True, False])
async def test_a_node_that_shows_a_true_signature_with_another_amount_is_contested(
    market, net, database_url, pool, liar_is_first
):
    """One cent is passed off as thirty dollars: the signature is known to both nodes, the content is not."""
    settings = fast_settings(RPC_WITNESS_CONTENT_ABOVE="USDC:0", INDEXER_AUDIT_SECONDS=0.5)
    liar = LyingNode(net)
    async with liar.serve():
        urls = [liar.rpc_url, net.rpc_url] if liar_is_first else [net.rpc_url, liar.rpc_url]
        async with running_indexer(settings, database_url, urls, [net.ws_url]) as indexer:
            model = await pays(market, 30_000_000)

            async def is_sure(signature, amount):
                row = await pool.fetchrow(
                    "SELECT awaits_witness_since, amount FROM transfers WHERE signature = $1", signature
                )
                return row is not None and row["awaits_witness_since"] is None and row["amount"] == amount

            await eventually(lambda: is_sure(model, 30_000_000))
            liar.pass_off_as(model)
            little = await pays(market, 10_000)

            async def is_contested():
                row = await state_of(pool, little)
                return row is not None and row["contested_at"] is not None

            await eventually(is_contested)
            assert liar.reported > 0
            assert await claims(pool, market, little) == {}
            await eventually(lambda: indexer.metrics.contested._value.get() >= 1)
            # What was told is corrected once the node is honest again, and only then is anybody believed.
            liar.confess()
            await eventually(lambda: is_sure(little, 10_000), seconds=40)
    assert await pool.fetchval("SELECT count(*) FROM transactions WHERE status <> 'pending'") == 0


async def test_one_witness_is_enough_where_the_operator_says_so(market, net, database_url, pool):
    settings = fast_settings(RPC_WITNESSES=1)
    async with (
        second_node(net) as other,
        running_indexer(settings, database_url, [net.rpc_url, other.rpc_url], [net.ws_url]),
    ):
        other.set_faults({"serverErrors": {"rate": 1}})
        signature = await pays(market)
        await ledger_equals_chain(pool, market)
        assert (await state_of(pool, signature))["awaits_witness_since"] is None


@pytest.mark.parametrize("doubt", ["drift = 5", "gaps = 1"])
async def test_a_gap_freezes_what_was_honoured_on_that_account(pool, doubt):
    merchant = await add_merchant(pool, "shop", 1)
    claim = await add_claim(pool, merchant, 5, status="confirmed")
    signature = await pool.fetchval("SELECT signature FROM transactions WHERE id = $1", claim)
    row = await pool.fetchrow("SELECT slot, destination, mint FROM transfers WHERE signature = $1", signature)
    await pool.execute("UPDATE transfers SET finality = 'confirmed' WHERE signature = $1", signature)
    await pool.execute(
        "INSERT INTO token_accounts (address, recipient, mint, program) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        row["destination"], merchant.wallet, row["mint"], "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    )  # fmt: skip
    await pool.execute(f"UPDATE token_accounts SET {doubt} WHERE address = $1", row["destination"])
    landing = Landing(signature, row["slot"])
    assert await finality.finalize(pool, [landing]) == 0
    await pool.execute("UPDATE token_accounts SET drift = 0, gaps = 0")
    assert await finality.finalize(pool, [landing]) == 1
