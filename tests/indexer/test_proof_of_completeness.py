"""What the socket never told is noticed, healed and shown; what a fork undid is undone in the ledger."""

import time

import pytest
from solders.pubkey import Pubkey

from indexer.context import open_context
from indexer.main import running_indexer
from localnet import payments as pay
from tests.support.ledger_checks import balances_agree, eventually, fast_settings, follow, ledger_equals_chain
from tests.support.metric_values import value
from tests.support.plain_payments import one_event_each, plain

AUDIT_SECONDS = 0.5


def proving_settings(**changes):
    return fast_settings(
        **{
            "INDEXER_AUDIT_SECONDS": AUDIT_SECONDS,
            "INDEXER_FINALIZE_SECONDS": 0.2,
            **changes,
        }
    )


@pytest.fixture
async def indexer(market, net, database_url, pool):
    healed = "SELECT count(*) >= 6 AND bool_and(healed_at IS NOT NULL) FROM token_accounts"
    async with running_indexer(proving_settings(), database_url, [net.rpc_url], [net.ws_url]) as running:
        # The walk that follows a subscription must be over, or it would find what the audit is to find.
        await eventually(lambda: pool.fetchval(healed))
        await eventually(lambda: running.heal_queue.is_idle)
        yield running


def rpc_calls(indexer):
    samples = next(iter(indexer.metrics.rpc.calls.collect())).samples
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


async def test_one_lost_notification_is_noticed_and_healed_within_an_audit_interval(
    market, net, indexer, pool, record_property
):
    account = str(pay.token_account(market.recipients[0].pubkey(), pay.USDC))
    await plain(market, 1)
    await ledger_equals_chain(pool, market)
    net.set_faults({"notificationsLost": {"rate": 1}})
    calls, disconnects = rpc_calls(indexer), value(indexer.metrics.disconnects)
    await plain(market, 2)
    await market.settled()
    # It is confirmed, so that its notification would have been sent by now: from here on the node is healthy.
    net.set_faults(None)
    slot = net.chain.slot("processed")
    started = time.monotonic()
    # It can be proven missing once it is final on chain.
    await eventually(lambda: net.chain.slot("finalized") >= slot)
    final = time.monotonic()
    await ledger_equals_chain(pool, market, seconds=20)
    healed = time.monotonic()
    record_property("seconds_until_final", round(final - started, 2))
    record_property("seconds_from_final_to_row", round(healed - final, 2))
    record_property("rpc_calls", rpc_calls(indexer) - calls)
    assert value(indexer.metrics.disconnects) == disconnects, "the socket was healthy all the time"
    assert value(indexer.metrics.audit_findings) >= 1
    events = await pool.fetch("SELECT subject FROM events WHERE type = 'audit.disagreed'")
    assert account in {event["subject"] for event in events}
    await eventually(lambda: _no_doubt(pool))
    await balances_agree(pool, net)


async def _no_doubt(pool):
    return await pool.fetchval("SELECT count(*) FROM token_accounts WHERE drift <> 0 OR gaps > 0") == 0


async def test_what_fails_its_audit_stays_visible_until_it_balances(market, net, indexer, pool):
    await plain(market, 5)
    await ledger_equals_chain(pool, market)
    # No page of history, so that healing cannot succeed; and the next notification is lost.
    net.set_faults({"notificationsLost": {"rate": 1}, "emptyPages": {"rate": 1}})
    await plain(market, 6)

    async def in_doubt():
        return await pool.fetchrow("SELECT drift, heal_reason FROM token_accounts WHERE drift <> 0")

    row = await eventually(in_doubt)
    assert (row["drift"], bool(row["heal_reason"])) == (6, True)
    net.set_faults(None)
    await ledger_equals_chain(pool, market)
    await eventually(lambda: _no_doubt(pool))


async def test_two_lost_payments_that_cancel_each_other_are_found_by_the_sweep(market, net, database_url, pool):
    payer, merchant = market.payers[0], market.recipients[0]
    net.chain.faucet.fund_lamports(merchant.pubkey(), 10**9)
    settings = proving_settings(INDEXER_SWEEP_SECONDS=1)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await eventually(lambda: indexer.feed.watching >= 6 and indexer.heal_queue.is_idle)
        net.set_faults({"notificationsLost": {"rate": 1}})
        there = await market.pay(pay.plain(payer.pubkey(), merchant.pubkey(), 9), payer)
        back = await market.pay(pay.plain(merchant.pubkey(), payer.pubkey(), 9), merchant)
        await market.settled()

        async def both():
            rows = await pool.fetch("SELECT signature FROM transfers WHERE signature = ANY($1)", [there, back])
            return {row["signature"] for row in rows} == {there, back}

        await eventually(both)


async def test_confirmed_rows_become_final(market, net, indexer, pool):
    await plain(market, 3)
    await ledger_equals_chain(pool, market)

    async def all_final():
        return await pool.fetchval("SELECT bool_and(finality = 'finalized') FROM transfers")

    await eventually(all_final)
    await eventually(lambda: pool.fetchval("SELECT bool_and(finality = 'finalized') FROM balance_changes"))
    await eventually(lambda: one_event_each(pool, "transfer.finalized"))


async def test_a_payment_that_a_fork_drops_for_ever_is_orphaned(market, net, indexer, pool):
    await eventually(lambda: net.chain.slot("finalized") > 20)
    await plain(market, 4)
    await ledger_equals_chain(pool, market)
    (signature,) = {sent.signature for sent in market.sent}
    report = net.chain.fork(3, drop=[signature], reland=1.0)
    assert signature in str(report)
    market.sent.clear()

    async def finality():
        return await pool.fetchval("SELECT finality FROM transfers WHERE signature = $1", signature)

    async def orphaned():
        return await finality() == "orphaned"

    assert await finality() == "confirmed", "missing is not dead yet"
    await eventually(orphaned, seconds=30)
    assert net.chain.find(signature) is None
    await eventually(lambda: value(indexer.metrics.orphaned) == 1)
    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'transfer.orphaned'") == 1
    assert await pool.fetchval("SELECT count(*) FROM vanished_transactions") == 0
    await eventually(lambda: _no_doubt(pool))
    await ledger_equals_chain(pool, market)
    await balances_agree(pool, net)


async def test_a_payment_that_lands_again_elsewhere_is_followed(market, net, indexer, pool):
    await eventually(lambda: net.chain.slot("finalized") > 20)
    await plain(market, 4)
    await plain(market, 5)
    await ledger_equals_chain(pool, market)
    paid = [sent.signature for sent in market.sent]
    rows = await pool.fetch("SELECT signature, slot FROM transfers WHERE signature = ANY($1)", paid)
    before = {row["signature"]: row["slot"] for row in rows}
    net.chain.fork(3, drop=0.0, reland=1.0, reland_after=2)

    async def final_elsewhere():
        rows = await pool.fetch("SELECT * FROM transfers WHERE signature = ANY($1)", paid)
        return all(r["finality"] == "finalized" and r["slot"] > before[r["signature"]] for r in rows)

    await eventually(final_elsewhere)
    await ledger_equals_chain(pool, market)
    for signature in before:
        landed = net.chain.find(signature)
        assert await pool.fetchval("SELECT slot FROM transfers WHERE signature = $1", signature) == landed.slot
    await eventually(lambda: value(indexer.metrics.landed_again) >= 2)
    await eventually(lambda: _no_doubt(pool))
    await balances_agree(pool, net)


async def test_an_opening_balance_is_what_was_there_before(market, net, indexer, pool):
    newcomer = Pubkey.new_unique()
    net.chain.faucet.fund_token(newcomer, pay.USDC, 7)
    slot = net.chain.slot("processed")
    # Registered before the slot is final: the balance at an earlier slot, nothing, is not the opening balance.
    await follow(pool, newcomer, from_slot=slot + 1)
    account = str(pay.token_account(newcomer, pay.USDC))

    async def audited():
        return await pool.fetchrow(
            "SELECT audited_balance, audited_slot FROM token_accounts WHERE address = $1", account
        )

    async def audited_at(balance):
        row = await audited()
        return row is not None and row["audited_balance"] == balance

    await eventually(lambda: audited_at(7))
    # At the slot in which the seven came, or later: an answer for the slot after it may hold for the end of that one.
    assert (await audited())["audited_slot"] >= slot
    await plain(market, 8, newcomer)
    await eventually(lambda: audited_at(15))
    assert await _no_doubt(pool)


async def test_a_payment_lost_before_the_first_audit_is_no_opening_balance(market, net, database_url, pool):
    """No audit has seen the account empty: its first one finds the money there, and nothing to hold it against."""
    newcomer = Pubkey.new_unique()
    net.chain.faucet.fund_token(newcomer, pay.USDC, 0)
    first_slot = net.chain.slot("processed") + 1
    await eventually(lambda: net.chain.slot("finalized") > first_slot)
    await follow(pool, newcomer, from_slot=first_slot)
    account = str(pay.token_account(newcomer, pay.USDC))
    settings = proving_settings(INDEXER_AUDIT_SECONDS=3)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        healed = "SELECT healed_at IS NOT NULL AND audited_slot IS NULL FROM token_accounts WHERE address = $1"
        await eventually(lambda: pool.fetchval(healed, account))
        await eventually(lambda: indexer.heal_queue.is_idle)
        net.set_faults({"notificationsLost": 1})
        await plain(market, 42, newcomer)
        await market.settled()
        net.set_faults(None)
        assert not await pool.fetchval("SELECT count(*) FROM balance_changes WHERE account = $1", account)
        await ledger_equals_chain(pool, market, [str(newcomer)])
        await eventually(lambda: _no_doubt(pool))


async def test_a_node_behind_the_last_good_audit_is_no_reason_for_doubt(market, net, indexer, pool, database_url):
    account = str(pay.token_account(market.recipients[0].pubkey(), pay.USDC))
    await plain(market, 33)
    await ledger_equals_chain(pool, market)
    paid_slot = await pool.fetchval("SELECT max(slot) FROM balance_changes WHERE account = $1", account)
    anchor = "SELECT audited_slot FROM token_accounts WHERE address = $1"

    async def audited():
        return (await pool.fetchval(anchor, account) or 0) >= paid_slot

    await eventually(audited)
    # Slots go on while this is asked.
    behind = net.chain.slot("finalized") - paid_slot + 10
    net.set_faults({"nodeBehindSlots": behind})
    async with open_context(proving_settings(), database_url, [net.rpc_url]) as context:
        report = await context.auditor.audit()
    assert (report.slot < paid_slot, report.findings) == (True, ())


async def test_history_asked_for_later_is_recorded_from_genesis(market, net, indexer, pool):
    newcomer = Pubkey.new_unique()
    net.chain.faucet.fund_token(newcomer, pay.USDC, 0)
    await plain(market, 21, newcomer)
    await market.settled()
    await eventually(lambda: net.chain.slot("finalized") > 10)
    first_slot = net.chain.slot("processed") + 1
    await follow(pool, newcomer, from_slot=first_slot)
    await eventually(lambda: net.chain.slot("processed") >= first_slot)
    await plain(market, 22, newcomer)

    async def amounts():
        rows = await pool.fetch("SELECT amount FROM transfers WHERE destination_owner = $1", str(newcomer))
        return sorted(row["amount"] for row in rows if row["amount"])

    async def only_the_new_one():
        return await amounts() == [22]

    async def both():
        return await amounts() == [21, 22]

    await eventually(only_the_new_one)
    await follow(pool, newcomer, from_slot=0)
    await eventually(both)
    await eventually(lambda: _no_doubt(pool))
