"""A slot that one answer names, and that the chain has not reached, is kept for nothing: not once, and not for good."""

import base64
from functools import partial

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.addresses import slot_of_wallet
from chain.node import Node
from chain.rpc import RpcLimits, RpcPool
from indexer import context as contexts
from indexer import liveness
from indexer.context import open_context
from indexer.main import running_indexer
from localnet import payments as pay
from tests.support.fixtures.followed_market import market, market_of
from tests.support.ledger_checks import balances_agree, eventually, fast_settings, follow, ledger_equals_chain
from tests.support.made_up_slots import FAR, SETTINGS, Lie, audited, is_proven, nodes_of, proven
from tests.support.metric_values import value
from tests.support.plain_payments import plain

__all__ = ["market", "market_of"]


@pytest.mark.parametrize("times", [1, 10**9])
@pytest.mark.parametrize(("count", "place"), [(1, 0), (2, 0), (2, 1), (3, 1)])
async def test_a_slot_that_one_node_names_alone_proves_nothing(market, net, database_url, pool, count, place, times):
    async with (
        proven(market, net, database_url, pool),
        nodes_of(net, count, place, lie := Lie("getMultipleAccounts", times)) as (urls, _),
        open_context(fast_settings(), database_url, urls) as context,
    ):
        reports = [await context.auditor.audit() for _ in range(3)]
        assert lie.times < times
        assert sum(sample.value for sample in context.metrics.slots_refused.collect()[0].samples) >= 1
        assert await is_proven(pool, 0)
        assert all(report.findings == () for report in reports)
        if count == 1 and times > 1:
            assert reports[-1].unproven == reports[-1].accounts > 0
            lie.times = 0
        await audited(context, net, pool)


async def test_what_a_node_says_of_its_own_slot_as_well_is_believed_by_nobody_else(market, net, database_url, pool):
    lies = Lie("getMultipleAccounts"), Lie("getSlot")
    async with (
        proven(market, net, database_url, pool),
        nodes_of(net, 2, 0, *lies) as (urls, _),
        open_context(fast_settings(), database_url, urls) as context,
    ):
        await audited(context, net, pool)


async def test_while_too_few_nodes_answer_nothing_is_proven_and_what_is_missing_is_found(
    market, net, database_url, pool
):
    async with (
        proven(market, net, database_url, pool) as account,
        nodes_of(net, 2, 1) as (urls, other),
        open_context(fast_settings(), database_url, urls) as context,
    ):
        other.is_away = True
        before = await pool.fetchval("SELECT audited_slot FROM token_accounts WHERE address = $1", account)
        report = await context.auditor.audit()
        assert (report.findings, report.unproven) == ((), report.accounts)
        assert before == await pool.fetchval("SELECT audited_slot FROM token_accounts WHERE address = $1", account)
        await plain(market, 8)
        await market.settled()
        slot = net.chain.slot("processed")
        await eventually(lambda: net.chain.slot("finalized") >= slot)
        assert account in {one.account for one in (await context.auditor.audit()).findings}
        assert value(context.metrics.audits.labels("complete")) == 0
        assert value(context.metrics.audits.labels("unproven")) == 2
        other.is_away = False
        report = await context.auditor.audit()
        assert (report.unproven, report.decided, len(report.findings)) == (0, report.accounts, 1)
        assert value(context.metrics.audits.labels("complete")) == 1


async def test_audits_that_prove_nothing_are_no_success(market, net, database_url, pool, monkeypatch):
    monkeypatch.setattr(liveness, "_LIMIT_SECONDS_MIN", 1.5)
    # A node that is away is given up at once.
    monkeypatch.setattr(contexts, "RpcLimits", partial(RpcLimits, attempts=1))
    settings = fast_settings(INDEXER_AUDIT_SECONDS=0.3)
    async with (
        proven(market, net, database_url, pool),
        nodes_of(net, 2, 1) as (urls, other),
        running_indexer(settings, database_url, urls, [net.ws_url, net.ws_url]) as indexer,
    ):

        def is_overdue():
            return any(reason.startswith("audit ") for reason in indexer.metrics.liveness.reasons())

        await eventually(lambda: value(indexer.metrics.audits.labels("complete")))
        other.is_away = True
        await eventually(is_overdue, seconds=60)
        before = value(indexer.metrics.audits.labels("unproven"))
        await eventually(lambda: value(indexer.metrics.audits.labels("unproven")) > before + 1, seconds=60)
        assert is_overdue()
        other.is_away = False
        await eventually(lambda: not is_overdue(), seconds=60)


async def test_what_an_older_answer_or_healing_leaves_open_is_unproven(market, net, database_url, pool):
    async with (
        proven(market, net, database_url, pool) as account,
        open_context(fast_settings(), database_url, [net.rpc_url]) as context,
    ):
        await context.load()
        await audited(context, net, pool)
        # As by a node that was further: within what the slots of the chain allow.
        ahead = net.chain.slot("finalized") + 100
        await pool.execute("UPDATE token_accounts SET audited_slot = $1 WHERE address = $2", ahead, account)
        report = await context.auditor.audit()
        assert (report.unproven, report.findings) == (1, ())
        assert value(context.metrics.audits.labels("unproven")) >= 1
        await pool.execute("UPDATE token_accounts SET audited_slot = $1", ahead)
        report = await context.auditor.audit()
        assert report.unproven == report.accounts > 1
        assert report.proves_nothing
        await pool.execute("UPDATE token_accounts SET audited_slot = 0")
        context.heal_queue.want(account)
        report = await context.auditor.audit()
        assert (report.unproven, report.findings, report.proves_nothing) == (1, (), False)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_proof_that_a_node_once_made_up_is_made_anew(market, net, database_url, pool, count):
    async with proven(market, net, database_url, pool):
        # As it is stored where the one node there is lies twice, about the accounts and about itself.
        async with (
            nodes_of(net, 1, 0, Lie("getMultipleAccounts"), Lie("getSlot")) as (urls, _),
            open_context(fast_settings(), database_url, urls) as context,
        ):
            await context.auditor.audit()
        assert await pool.fetchval("SELECT min(audited_slot) FROM token_accounts") >= FAR
        async with open_context(fast_settings(), database_url, [net.rpc_url] * count) as context:
            await audited(context, net, pool)
            assert value(context.metrics.slots_corrected) >= 6
        events = await pool.fetch("SELECT data FROM events WHERE type = 'audit.corrected'")
        assert len(events) >= 6
        assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'audit.disagreed'") == 0


async def test_what_is_missing_behind_a_proof_that_was_made_up_is_found_and_healed(market, net, database_url, pool):
    async with proven(market, net, database_url, pool) as account:
        (sent,) = market.sent
        await pool.execute("DELETE FROM transfers WHERE signature = $1", sent.signature)
        await pool.execute("DELETE FROM balance_changes WHERE signature = $1", sent.signature)
        await plain(market, 9)
        await pool.execute("UPDATE token_accounts SET audited_slot = $1, cursor_slot = $1", FAR)
        async with running_indexer(fast_settings(**SETTINGS), database_url, [net.rpc_url], [net.ws_url]):
            await ledger_equals_chain(pool, market)
            slot = net.chain.slot("processed")
            await eventually(lambda: is_proven(pool, slot))
            await balances_agree(pool, net)
        assert await pool.fetchval("SELECT cursor_slot FROM token_accounts WHERE address = $1", account) < FAR


async def test_an_account_that_a_node_says_was_lost_in_a_slot_to_come_comes_back(market, net, database_url, pool):
    async with proven(market, net, database_url, pool) as account:
        lost = "UPDATE token_accounts SET lost_slot = $1, opened_slot = $1, closed_slot = $1 WHERE address = $2"
        await pool.execute(lost, FAR, account)
        async with running_indexer(fast_settings(**SETTINGS), database_url, [net.rpc_url], [net.ws_url]) as indexer:
            await eventually(lambda: account in indexer.feed.followed)
            await plain(market, 9)
            await ledger_equals_chain(pool, market)
            slot = net.chain.slot("processed")
            await eventually(lambda: is_proven(pool, slot))
        row = await pool.fetchrow("SELECT * FROM token_accounts WHERE address = $1", account)
        assert row["audited_balance"] == 16
        assert all((row[name] or 0) < FAR for name in ("returned_slot", "opened_slot", "closed_slot", "cursor_slot"))


@pytest.mark.parametrize("count", [1, 2])
async def test_a_node_that_names_another_owner_at_a_slot_to_come_loses_no_account(
    market, net, database_url, pool, count
):
    stranger = bytes(Keypair().pubkey())

    def belongs_to_a_stranger(call, answer):
        if call["method"] == "getMultipleAccounts":
            answer["result"]["context"]["slot"] += FAR
            for one in answer["result"]["value"]:
                _hand_over(one, stranger)

    async with (
        proven(market, net, database_url, pool),
        nodes_of(net, count, 0, belongs_to_a_stranger) as (urls, _),
        open_context(fast_settings(), database_url, urls) as context,
    ):
        await context.auditor.audit()
    assert await pool.fetchval("SELECT count(*) FROM token_accounts WHERE lost_slot IS NOT NULL") == 0


def _hand_over(account, owner):
    """Write another owner into a token account, whose second 32 bytes that is."""
    raw = b"" if account is None else base64.b64decode(account["data"][0])
    if raw:
        account["data"] = [base64.b64encode(raw[:32] + owner + raw[64:]).decode(), "base64"]


async def test_a_history_whose_slots_are_to_come_is_walked_again(market, net, database_url, pool):
    async with proven(market, net, database_url, pool) as account:
        await pool.execute("UPDATE token_accounts SET cursor_slot = 0, cursor_signature = NULL")
        lie = Lie("getSignaturesForAddress")
        async with (
            nodes_of(net, 1, 0, lie) as (urls, _),
            running_indexer(fast_settings(INDEXER_AUDIT_SECONDS=600), database_url, urls, [net.ws_url]) as indexer,
        ):
            await eventually(lambda: indexer.feed.watching >= 6 and lie.times <= 10**9 - 6)
            await eventually(lambda: indexer.heal_queue.is_idle)
        assert await pool.fetchval("SELECT max(cursor_slot) FROM token_accounts") < FAR
        row = await pool.fetchrow("SELECT cursor_slot, healed_at FROM token_accounts WHERE address = $1", account)
        assert (row["cursor_slot"], row["healed_at"] is not None) == (0, True)


@pytest.mark.parametrize("count", [2, 3])
async def test_the_slot_from_which_a_wallet_is_followed_is_what_enough_nodes_have_reached(net, count):
    lies = Lie("getAccountInfo"), Lie("getSlot")
    async with nodes_of(net, count, 0, *lies) as (urls, _), RpcPool(urls) as rpc:
        assert await slot_of_wallet(Node(rpc), str(Pubkey.new_unique())) <= net.chain.slot("processed")


async def test_a_wallet_that_is_followed_from_a_slot_to_come_is_followed(market, net, database_url, pool):
    newcomer = Pubkey.new_unique()
    net.chain.faucet.fund_token(newcomer, pay.USDC, 0)
    await follow(pool, newcomer, from_slot=FAR)
    async with running_indexer(fast_settings(**SETTINGS), database_url, [net.rpc_url], [net.ws_url]):
        await plain(market, 21, newcomer)
        await ledger_equals_chain(pool, market, [str(newcomer)])
        slot = net.chain.slot("processed")
        await eventually(lambda: is_proven(pool, slot))
    assert await pool.fetchval("SELECT followed_from_slot FROM recipients WHERE address = $1", str(newcomer)) < FAR


async def test_a_payment_that_a_node_shows_in_a_slot_to_come_becomes_final_where_it_landed(
    market, net, database_url, pool
):
    lie = Lie("getTransaction", times=1)
    async with (
        nodes_of(net, 1, 0, lie) as (urls, _),
        running_indexer(fast_settings(**SETTINGS), database_url, urls, [net.ws_url]) as indexer,
    ):
        await eventually(lambda: indexer.feed.watching >= 6 and indexer.heal_queue.is_idle)
        lie.times = 1
        await plain(market, 7)
        await ledger_equals_chain(pool, market)
        assert lie.times == 0
        (sent,) = market.sent

        async def is_final_where_it_landed():
            row = await pool.fetchrow("SELECT slot, finality FROM transfers WHERE signature = $1", sent.signature)
            return (row["slot"], row["finality"]) == (net.chain.find(sent.signature).slot, "finalized")

        await eventually(is_final_where_it_landed)
        slot = net.chain.slot("processed")
        await eventually(lambda: is_proven(pool, slot))


async def test_a_cursor_that_was_made_up_falls_back_to_what_is_proven(market, net, database_url, pool):
    async with proven(market, net, database_url, pool):
        before = await pool.fetchval("SELECT min(audited_slot) FROM token_accounts")
        await pool.execute("UPDATE token_accounts SET cursor_slot = $1, cursor_signature = NULL", FAR)
        async with open_context(fast_settings(), database_url, [net.rpc_url]) as context:
            await context.auditor.audit()
        assert before <= await pool.fetchval("SELECT min(cursor_slot) FROM token_accounts") < FAR
