"""A proof presented as soon as its payment was sent, on a chain as slow as the real one: told soon, and cheaply."""

import contextlib
from typing import Any

import pytest

from chain.rpc import RpcPool
from indexer.main import running_indexer
from localnet import Localnet
from localnet import payments as pay
from tests.support.api_client import key_for, proof_of, running_api
from tests.support.ledger_checks import eventually, fast_settings, follow


@pytest.fixture
async def at_once(pool, database_url, redis_url, market_of):
    """Pays by a kind of payment and presents it; also the node that the API alone asks."""
    async with contextlib.AsyncExitStack() as stack:
        chain_pace = await stack.enter_async_context(Localnet.start(slot_seconds=0.4, finalize_slots=8))
        apis_node = await stack.enter_async_context(Localnet.start(chain=chain_pace.chain))
        market = await stack.enter_async_context(market_of(chain_pace))
        for wallet in market.wallets:
            await follow(pool, wallet)
        indexer = await stack.enter_async_context(
            running_indexer(fast_settings(), database_url, [chain_pace.rpc_url], [chain_pace.ws_url])
        )
        await eventually(lambda: indexer.feed.watching >= 6)
        api = await stack.enter_async_context(
            running_api(database_url, redis_url, [apis_node.rpc_url], VERIFY_WAIT_MS=2000)
        )
        merchant = api.holding(await key_for(pool))

        async def present(make):
            payer = market.payers[0]
            payment = make(payer.pubkey(), market.recipients[0].pubkey(), 10_000)
            return await merchant.verify(proof_of(payer, await market.pay(payment, payer), "0.01"))

        yield present, apis_node


async def test_a_payment_on_its_way_costs_its_verification_no_call(at_once):
    present, node = at_once
    codes = [(await present(pay.plain)).code for _ in range(4)]
    assert codes.count("VALID") >= 3
    async with RpcPool([node.rpc_url]) as rpc:
        calls = await rpc.call("localnet_countCalls", [], dict[str, Any])
    # One slot may come late where the machine is busy.
    assert calls.get("getTransaction", 0) <= 1


async def test_one_that_failed_is_answered_so_within_the_wait(at_once):
    present, _ = at_once
    codes = [(await present(pay.failing)).code for _ in range(3)]
    assert codes.count("TRANSACTION_FAILED") >= 2
