"""One to thirty thousand pending claims are decided in one pass.

Their transactions are already in the ledger, so reading, judging and writing are measured. The ceiling is one statement
that updates as many claims and writes as many events, in the same database and the same run. Reports are measured on
ledgers of their own (`bench.reports`).
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bench.conclusion import conclude
from bench.points import Point
from bench.reports import measure_reports
from chain.node import Node
from chain.programs import TOKEN_PROGRAM
from chain.rpc import RpcPool
from ledger.claims import follow_transfers
from localnet.payments import USDC
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.servers import embedded_postgres
from worker.agreement import Agreement
from worker.claims.decide import Reconciled, reconcile
from worker.context import WorkerContext
from worker.metrics import WorkerMetrics
from worker.settings import WorkerSettings

_SIZES: Final = (1_000, 10_000, 30_000)
_SECONDS_MAX: Final = {10_000: 2.0}
_RUNS: Final = 3
_WALLETS: Final = 20
_UNRELATED_TRANSFERS: Final = 100_000

_TRANSFERS: Final = """
INSERT INTO transfers (signature, path, slot, block_time, kind, program, mint, source, destination, source_owner,
  destination_owner, authority, amount, finality)
SELECT s.signature, '1', 100 + s.n, now(), 'transferChecked', $2, $3, $4, $4, $5, w.wallets[1 + s.n % $7::int],
  $5, 1000000, 'finalized'
FROM unnest($1::text[]) WITH ORDINALITY AS s (signature, n), (SELECT $6::text[] AS wallets) AS w
"""

_PENDING: Final = """
INSERT INTO transactions (user_id, nonce, signature, payer, mint, currency, amount, least_amount)
SELECT c.user_id, 'nonce' || c.n || c.signature, c.signature, c.payer, $5, 'USDC', c.amount, c.amount
FROM unnest($1::text[], $2::text[], $3::text[], $4::numeric[])
  WITH ORDINALITY AS c (user_id, signature, payer, amount, n)
"""

# Half of the earlier payments were claimed long ago.
_HISTORY: Final = """
INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount,
  received, status)
SELECT r.user_id, 'old' || t.signature, t.signature, t.path, t.source_owner, t.destination_owner, $1, 'USDC', t.amount,
  t.amount, t.amount, 'finalized'
FROM transfers AS t JOIN recipients AS r ON r.address = t.destination_owner
WHERE t.slot % 2 = 0
"""

_LEAST_TO_WRITE: Final = """
WITH moved AS (
  UPDATE transactions AS c
  SET status = 'confirmed', path = t.path, received = t.amount, recipient = t.destination_owner
  FROM transfers AS t
  WHERE c.status = 'pending' AND t.signature = c.signature AND t.path = '1'
  RETURNING c.id, c.user_id, c.signature, c.path
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'claim.confirmed', id::text, user_id, jsonb_build_object('signature', signature, 'path', path) FROM moved
)
SELECT count(*) FROM moved
"""


def run() -> bool:
    """Measure, print, write, draw; true when the pass is within its bound."""
    return asyncio.run(_measure())


async def _measure() -> bool:
    with tempfile.TemporaryDirectory(prefix="pay402-bench-") as home:
        async with embedded_postgres(Path(home)) as dsn:
            await upgrade(dsn)
            async with open_pool(dsn, application="bench", max_size=4) as pool, RpcPool(["http://127.0.0.1:9"]) as rpc:
                registry = CollectorRegistry()
                settings, metrics = WorkerSettings(), WorkerMetrics(registry)
                context = WorkerContext(
                    settings, pool, Node(rpc), None, settings.webhook_seal, registry, metrics, Agreement(metrics)
                )
                wallets = await _prepare(pool)
                points = [await _one_size(context, wallets, size) for size in _SIZES]
    points += await measure_reports()
    title = f"Pending claims decided in one pass, and reports of so many transfers; median of {_RUNS}"
    return conclude("reconcile", title, points, size_name="claims or transfers")


async def _one_size(context: WorkerContext, wallets: list[str], size: int) -> Point:
    pool = context.database
    seconds, ceilings = [], []
    for _ in range(_RUNS):
        await _pending(pool, wallets, size)
        # Claims of earlier runs that still have to become final must not be part of this pass.
        await follow_transfers(pool)
        began_at = time.perf_counter()
        done = await reconcile(context)
        seconds.append(time.perf_counter() - began_at)
        assert _is_right(done, size), done
        ceilings.append(await _ceiling(pool, wallets, size))
    middle = statistics.median(seconds)
    note = f"{size / middle:,.0f} a second, slowest pass {max(seconds):.2f} s"
    bound = _SECONDS_MAX.get(size)
    return Point("a pass", size, middle, statistics.median(ceilings), seconds_max=bound, note=note)


async def _prepare(pool: Any) -> list[str]:
    """Make merchants with one wallet each, and a ledger of other payments besides those that are claimed."""
    wallets = [str(Pubkey.new_unique()) for _ in range(_WALLETS)]
    await pool.executemany(
        "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, $2, 0)",
        [(wallet, f"user{1 + number}") for number, wallet in enumerate(wallets)],
    )
    await _transfers(pool, wallets, _UNRELATED_TRANSFERS)
    await pool.execute(_HISTORY, str(USDC))
    return wallets


async def _transfers(pool: Any, wallets: list[str], count: int) -> list[str]:
    """Payments to the wallets, recorded and final; their signatures."""
    payer = Keypair()
    signed = str(payer.sign_message(b"a"))[:70]
    stamp = time.time_ns() % 58**6
    signatures = [signed + _base58(stamp * 1_000 + 7) + _base58(number).rjust(5, "1") for number in range(count)]
    await pool.execute(
        _TRANSFERS, signatures, TOKEN_PROGRAM, str(USDC), str(Pubkey.new_unique()), _PAYER, wallets, len(wallets)
    )
    return signatures


_PAYER: Final = str(Keypair.from_seed(bytes(32)).pubkey())


def _base58(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 58)
        digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + digits
    return digits


async def _pending(pool: Any, wallets: list[str], count: int) -> None:
    """Claims of which sixteen in twenty are right; the others are wrong in four ways."""
    signatures = await _transfers(pool, wallets, count)
    users, claimed, payers, amounts = [], [], [], []
    for number, signature in enumerate(signatures):
        # The signature's ordinal number begins with 1, and so does the user of its wallet.
        owner = 1 + (number + 1) % len(wallets)
        kind = number % 20
        users.append(f"user{1 + owner % len(wallets) if kind in {1, 4} else owner}")  # 1: another's money
        claimed.append(signatures[number + 1] if kind == 4 else signature)  # 4: what the next one claims too # noqa: PLR2004
        payers.append(wallets[0] if kind == 3 else _PAYER)  # 3: in another's name # noqa: PLR2004
        amounts.append(1_000_001 if kind == 2 else 1_000_000)  # 2: for more # noqa: PLR2004
    # The planner's statistics stay those of before, as they do when many claims come at once.
    await pool.execute("ANALYZE transactions, transfers")
    await pool.execute(_PENDING, users, claimed, payers, amounts, str(USDC))


async def _ceiling(pool: Any, wallets: list[str], count: int) -> float:
    await pool.execute("DELETE FROM transactions WHERE status = 'pending'")
    signatures = await _transfers(pool, wallets, count)
    await pool.execute(
        "INSERT INTO transactions (user_id, nonce, signature, payer, mint, currency, amount, least_amount)"
        " SELECT 'user1', 'n' || s, s, $2, $3, 'USDC', 1000000, 1000000"
        " FROM unnest($1::text[]) WITH ORDINALITY AS u (s, n)",
        signatures,
        _PAYER,
        str(USDC),
    )
    await pool.execute("ANALYZE transactions, transfers")
    began_at = time.perf_counter()
    await pool.fetchval(_LEAST_TO_WRITE)
    return time.perf_counter() - began_at


def _is_right(done: Reconciled, count: int) -> bool:
    """True when sixteen of twenty are honoured; a second claim of one payment is a replay that the next pass finds."""
    share = count // 20
    return (
        done.looked_at == count
        and done.honoured == 16 * share
        and 3 * share <= done.refused <= 4 * share
        and done.honoured + done.refused + done.still_pending == count
    )
