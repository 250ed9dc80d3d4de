"""A report on ledgers of ten thousand and a million transfers, with nothing changed and with a thousand changed.

Both ways to make it are measured in turns on the same ledger: from what is kept, and from the whole ledger, which is
how every report was made before. The ceiling is one statement that reads a row of each table that a report reads.
"""

import statistics
import time
from typing import Final

from prometheus_client import CollectorRegistry

from bench.dataset import Ledger, bench_server, filled_ledger
from bench.points import Point
from chain.node import Node
from chain.rpc import RpcPool
from runtime.database import open_pool
from worker.agreement import Agreement
from worker.context import WorkerContext
from worker.metrics import WorkerMetrics
from worker.reports.changes import fold_report_changes, held_report
from worker.reports.counted import counted_totals
from worker.reports.run import make_full_report, make_report
from worker.settings import WorkerSettings

_SIZES: Final = (10_000, 1_000_000)
_CHANGED: Final = 1_000
_ROUNDS: Final = 3
_SECONDS_MAX: Final = {0: 0.1, _CHANGED: 1.0}
_CEILING: Final = """
SELECT (SELECT count(*) FROM report_credits), (SELECT count(*) FROM report_claims),
  (SELECT count(*) FROM report_finding_totals), (SELECT count(*) FROM token_accounts)
"""
# The newest transfers that nobody claimed are claimed, one by one in the order of time.
_CHANGE: Final = """
INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount,
  received, status, honoured_at)
SELECT r.user_id, 'late' || t.signature, t.signature, t.path, t.source_owner, t.destination_owner, t.mint, 'USDC',
  t.amount, t.amount, t.amount - t.fee, 'confirmed', now()
FROM transfers AS t
JOIN recipients AS r ON r.address = t.destination_owner
WHERE NOT EXISTS (SELECT FROM transactions AS c WHERE c.signature = t.signature)
ORDER BY t.slot DESC
LIMIT $1
"""


async def measure_reports() -> list[Point]:
    """Reports of each size, with nothing changed and with a thousand claims more, kept and from the whole ledger."""
    points: list[Point] = []
    async with bench_server() as server, RpcPool(["http://127.0.0.1:9"]) as rpc:
        for size in _SIZES:
            async with filled_ledger(server, size, unclaimed=(_ROUNDS + 2) * _CHANGED) as ledger:
                points += await _of_size(ledger, rpc)
    return points


async def _of_size(ledger: Ledger, rpc: RpcPool) -> list[Point]:
    points = []
    async with open_pool(ledger.dsn, application="bench", max_size=2, statement_timeout_seconds=300.0) as pool:
        registry = CollectorRegistry()
        settings, metrics = WorkerSettings(), WorkerMetrics(registry)
        context = WorkerContext(
            settings, pool, Node(rpc), None, settings.webhook_seal, registry, metrics, Agreement(metrics)
        )
        began_at = time.perf_counter()
        await make_report(context)
        first_seconds = time.perf_counter() - began_at
        for changed in (0, _CHANGED):
            kept, counted, ceilings = [], [], []
            for _ in range(_ROUNDS):
                await pool.execute(_CHANGE, changed)
                began_at = time.perf_counter()
                await make_report(context)
                kept.append(time.perf_counter() - began_at)
                began_at = time.perf_counter()
                async with held_report(pool) as connection:
                    await counted_totals(connection)
                counted.append(time.perf_counter() - began_at)
                began_at = time.perf_counter()
                await pool.fetchrow(_CEILING)
                ceilings.append(time.perf_counter() - began_at)
            middle = statistics.median(kept)
            before = statistics.median(counted)
            note = f"from the whole ledger {1000 * before:,.0f} ms, the first {1000 * first_seconds:,.0f} ms"
            ceiling = statistics.median(ceilings)
            name = f"a report, {changed:,} changed"
            points.append(Point(name, ledger.transfers, middle, ceiling, seconds_max=_SECONDS_MAX[changed], note=note))
        await fold_report_changes(pool)
        differing = (await make_full_report(context)).kept_differences
        assert not differing, differing
    return points
