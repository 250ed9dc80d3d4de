"""Nodes that name slots which the chain has not reached, and ledgers that were proven before they did."""

from contextlib import asynccontextmanager

from indexer.main import running_indexer
from localnet import payments as pay
from tests.support.altering_node import AlteringNode
from tests.support.ledger_checks import eventually, fast_settings, ledger_equals_chain
from tests.support.plain_payments import plain

FAR = 10**12
SETTINGS = {"INDEXER_AUDIT_SECONDS": 0.3, "INDEXER_FINALIZE_SECONDS": 0.2, "INDEXER_SCAN_SECONDS": 0.5}


class Lie:
    """Adds to the slots in answers to a method, `times` times."""

    def __init__(self, method, times=10**9):
        self.method, self.times = method, times

    def __call__(self, call, answer):
        if call["method"] != self.method or not self.times or not answer.get("result"):
            return
        self.times -= 1
        result = answer["result"]
        if isinstance(result, int):
            answer["result"] += FAR
        elif isinstance(result, list):
            for line in result:
                line["slot"] += FAR
        else:
            place = result.get("context", result)
            place["slot"] += FAR


@asynccontextmanager
async def nodes_of(net, count, place, *lies):
    """The addresses of so many nodes of one chain, and the liar at `place` among them."""

    def lie(call, answer):
        for one in lies:
            one(call, answer)

    async with AlteringNode(net, lie).serve() as liar:
        urls = [net.rpc_url] * count
        urls[place] = liar.rpc_url
        yield urls, liar


@asynccontextmanager
async def proven(market, net, database_url, pool):
    """A payment, in a ledger that is proven beyond it; nobody audits it any more."""
    async with running_indexer(fast_settings(**SETTINGS), database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await plain(market, 7)
        await ledger_equals_chain(pool, market)
        await eventually(lambda: indexer.heal_queue.is_idle)
        slot = net.chain.slot("processed")
        await eventually(lambda: is_proven(pool, slot))
    yield str(pay.token_account(market.recipients[0].pubkey(), pay.USDC))


async def is_proven(pool, slot, below=FAR):
    """Whether every account is proven up to there, and none beyond what can be."""
    slots = await pool.fetch("SELECT audited_slot, drift, gaps FROM token_accounts WHERE lost_slot IS NULL")
    return all(one["audited_slot"] and slot <= one["audited_slot"] < below and not one["drift"] for one in slots)


async def audited(context, net, pool):
    """Audit again and again until all is proven up to a slot of which nobody has said anything before."""
    slot = net.chain.slot("processed")

    async def reached():
        await context.auditor.audit()
        return await is_proven(pool, slot)

    await eventually(reached, pause=0.1)
