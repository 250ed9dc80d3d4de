"""A defect of ours in one place ends no other work: it is counted, logged with its traceback, and tried again later.

The defects are put in by hand: no transaction and no state of the ledger is known that makes these loops fail.
"""

import pytest

from indexer import pipeline
from indexer.audit import Auditor
from indexer.discover import Discovery
from indexer.finalize import Finalizer
from indexer.main import running_indexer
from indexer.witness import Witnesses
from localnet import payments as pay
from runtime import database_errors
from runtime.database_errors import DatabaseTrouble
from tests.support.ledger_checks import eventually, fast_settings, ledger_equals_chain
from tests.support.metric_values import value


@pytest.fixture
def settings(monkeypatch):
    """Passes in quick succession, also after a defect."""
    monkeypatch.setitem(database_errors._PAUSE_SECONDS, DatabaseTrouble.DEFECT, 0.2)
    return fast_settings(**{f"INDEXER_{name}_SECONDS": 0.2 for name in ("AUDIT", "FINALIZE", "POLL", "SCAN")})


def defects(indexer):
    return value(indexer.metrics.troubles._errors, "defect")


async def test_a_transaction_that_meets_a_defect_holds_up_no_other(
    market, net, database_url, settings, pool, monkeypatch
):
    decode, is_mended = pipeline.decode, False

    def broken(result):
        observation = decode(result)
        if not is_mended and any(transfer.amount == 13 for transfer in observation.transfers):
            raise KeyError("a defect")
        return observation

    monkeypatch.setattr(pipeline, "decode", broken)
    payer, recipient = market.payers[0], market.recipients[0].pubkey()
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await eventually(lambda: indexer.heal_queue.is_idle)
        await market.pay(pay.plain(payer.pubkey(), recipient, 13), payer)
        await market.pay(pay.plain(payer.pubkey(), recipient, 14), payer)
        recorded = "SELECT count(*) FROM transfers WHERE amount = 14"
        await eventually(lambda: pool.fetchval(recorded))
        await eventually(lambda: defects(indexer) >= 1)
        assert await pool.fetchval("SELECT count(*) FROM transfers WHERE amount = 13") == 0
        # Once the defect is mended, healing records what is missing.
        is_mended = True
        await ledger_equals_chain(pool, market)


@pytest.mark.parametrize(
    ("owner", "method"),
    [(Finalizer, "settle"), (Auditor, "audit"), (Discovery, "load"), (Witnesses, "ask")],
    ids=lambda one: getattr(one, "__name__", one),
)
async def test_a_loop_that_meets_a_defect_goes_on(
    market, net, database_url, settings, pool, monkeypatch, owner, method
):
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        with monkeypatch.context() as patched:

            async def broken(*_args, **_options):
                raise RuntimeError("a defect")

            patched.setattr(owner, method, broken)
            payer, recipient = market.payers[0], market.recipients[0].pubkey()
            await market.pay(pay.plain(payer.pubkey(), recipient, 5), payer)
            await eventually(lambda: defects(indexer) >= 2)
        await market.pay(pay.plain(payer.pubkey(), recipient, 6), payer)
        await ledger_equals_chain(pool, market)
        await eventually(lambda: pool.fetchval("SELECT bool_and(finality = 'finalized') FROM transfers"))
