"""Recording: a node's recorded answers, served from memory, become committed rows.

The answers are those of a localnet to payments of every kind; each copy gets its own signature and slot. They go the
indexer's real way: notification, queue, workers, decoding, batches, one durable commit a batch. The two ceilings are
decoding the same answers alone, and COPY of the same rows alone, with indexes and a durable commit. Recording must be
at least half as fast as the slower of the two.
"""

import asyncio
import base64
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import asyncpg
import msgspec
import uvloop

from bench.conclusion import conclude
from bench.dataset import bench_server
from bench.points import Point
from chain.base58 import b58encode
from chain.decode import decode
from chain.decode.wire import TransactionResult
from chain.node import Node
from chain.rpc import Endpoint, RpcPool
from indexer.heal_queue import HealQueue
from indexer.metrics import IndexerMetrics
from indexer.pipeline import Pipeline
from indexer.record import Recorder
from indexer.settings import IndexerSettings
from indexer.watchlist import Watchlist
from localnet import Localnet
from localnet.market import open_market
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.metrics import new_registry
from runtime.process import collect_less_often, working

_SIZES: Final = (1_000, 5_000, 20_000)
_RATIO_MAX: Final = 2.0
_ROUNDS_OF_EVERY_KIND: Final = 3
_ROUNDS: Final = 9
# The rounds of one size measure at least this many: a thousand take a tenth of a second, which any other load distorts.
_TRANSACTIONS: Final = 40_000
_WRITTEN: Final = ("transfers", "balance_changes", "events")
_PATIENCE_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.001
_SIGNATURE: Final = slice(1, 65)  # after the number of signatures, in one byte


@dataclass(frozen=True, slots=True)
class _Recording:
    """Answers by signature, and the wallets that they are about."""

    wallets: tuple[str, ...]
    answers: dict[str, bytes]


class _Memory(RpcPool):
    """A node that has every answer at hand."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        super().__init__(["http://memory.invalid"])
        self._answers = answers
        self._decoder = msgspec.json.Decoder(TransactionResult)

    async def call(
        self,
        method: str,
        params: Sequence[Any],
        result_type: Any,
        *,
        attempts: int | None = None,
        at: Endpoint | None = None,  # noqa: ARG002 - there is one node
    ) -> Any:
        """The recorded answer."""
        del result_type, attempts
        # An answer over a socket would let other tasks run meanwhile, above all the writer.
        await asyncio.sleep(0)
        assert method == "getTransaction", method
        return self._decoder.decode(self._answers[params[0]])


def run() -> bool:
    """Measure, print, write, draw; true when ingesting is at least half as fast as the slower ceiling."""
    collect_less_often()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())


async def _measure() -> bool:
    wallets, templates = await _record()
    points = []
    async with bench_server() as server:
        for size in _SIZES:
            recording = _Recording(wallets, _multiplied(templates, size))
            points.append(await _one_size(server, recording))
    title = "Recorded answers to committed rows, a transaction; ceiling: the slower of decoding and COPY"
    return conclude("ingest", title, points, size_name="transactions")


async def _record() -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Payments of every kind on a localnet, as it answers about them."""
    async with Localnet.start(port=0, slot_seconds=0.05) as net, open_market(net.rpc_url) as market:
        await market.prepare()
        for _ in range(_ROUNDS_OF_EVERY_KIND):
            for payment, payer in market.every_kind():
                await market.pay(payment, payer)
        await market.settled()
        config = {"encoding": "base64", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        answers = [await market.rpc.call("getTransaction", [s.signature, config], Any) for s in market.sent]
        return tuple(market.wallets), answers


def _multiplied(templates: Sequence[dict[str, Any]], count: int) -> dict[str, bytes]:
    answers = {}
    for n in range(count):
        template = templates[n % len(templates)]
        raw = bytearray(base64.b64decode(template["transaction"][0]))
        raw[_SIGNATURE] = os.urandom(64)
        made = {**template, "slot": 1_000 + n // 4, "transaction": [base64.b64encode(raw).decode(), "base64"]}
        answers[b58encode(bytes(raw[_SIGNATURE]))] = msgspec.json.encode(made)
    return answers


async def _one_size(server: EmbeddedPostgres, recording: _Recording) -> Point:
    """The best of some rounds; each round measures all three, one after the other, on empty tables.

    Another load on the machine makes each of them slower and never faster, so the best is nearest to the truth.
    """
    count = len(recording.answers)
    name = f"ingest_{count}"
    async with open_pool(server.dsn("postgres"), application="bench", max_size=1) as pool:
        await pool.execute(f"CREATE DATABASE {name}")
    dsn = server.dsn(name)
    await upgrade(dsn)
    rounds = []
    async with open_pool(dsn, application="bench", max_size=4, statement_timeout_seconds=_PATIENCE_SECONDS) as pool:
        await pool.execute(
            "INSERT INTO recipients (address, user_id, followed_from_slot)"
            " SELECT address, 'bench', 0 FROM unnest($1::text[]) AS w (address)",
            list(recording.wallets),
        )
        for _ in range(max(_ROUNDS, _TRANSACTIONS // count)):
            await _empty(pool)
            ingesting = await _ingest(pool, recording)
            rows = {table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in _WRITTEN}  # noqa: S608
            rounds.append((ingesting, _decode(recording), await _copy(pool)))
    seconds, decoding, copying = map(min, zip(*rounds, strict=True))
    note = ", ".join(f"{rows[table]:,} {table}" for table in _WRITTEN)
    note += f"; {count / seconds:,.0f} a second, decoding {count / decoding:,.0f}, COPY {count / copying:,.0f}"
    return Point("ingest", count, seconds / count, max(decoding, copying) / count, _RATIO_MAX, note=note)


async def _empty(pool: asyncpg.Pool) -> None:
    # A checkpoint first, so that WAL files are used again, as on a server that has run for a while.
    await pool.execute(f"TRUNCATE {', '.join(_WRITTEN)} CASCADE")
    await pool.execute("CHECKPOINT")


async def _ingest(pool: asyncpg.Pool, recording: _Recording) -> float:
    settings = IndexerSettings()
    metrics = IndexerMetrics(new_registry())
    watchlist = Watchlist()
    for wallet in recording.wallets:
        watchlist.add_wallet(wallet, 0)
    recorder = Recorder(pool, metrics, settings.batch_size)
    lost = HealQueue(watchlist, metrics)
    pipeline = Pipeline(
        Node(_Memory(recording.answers)),
        watchlist,
        recorder,
        lost,
        metrics,
        queue_size=len(recording.answers),
        workers=settings.fetch_workers,
        patience_seconds=1.0,
    )
    await recorder.warm_up()
    async with working(recorder.run(), pipeline.run()):
        started = time.perf_counter()
        for n, signature in enumerate(recording.answers):
            pipeline.notified(recording.wallets[0], signature, 1_000 + n // 4)
        # Waiting for each transaction alone would cost about as much as recording it.
        while not pipeline.is_idle:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        seconds = time.perf_counter() - started
    assert lost.is_idle, "transactions were left to healing"
    return seconds


def _decode(recording: _Recording) -> float:
    decoder = msgspec.json.Decoder(TransactionResult)
    started = time.perf_counter()
    for answer in recording.answers.values():
        decode(decoder.decode(answer))
    return time.perf_counter() - started


async def _copy(pool: asyncpg.Pool) -> float:
    """Empty the tables and write the same rows again by COPY."""
    async with pool.acquire() as connection:
        written = {}
        for table in _WRITTEN:
            written[table] = BytesIO()
            await connection.copy_from_table(table, output=written[table], format="binary")
            written[table].seek(0)
        # In a separate transaction: otherwise COPY would skip the WAL, which recording cannot.
        await _empty(pool)
        started = time.perf_counter()
        async with connection.transaction():
            for table, rows in written.items():
                await connection.copy_to_table(table, source=rows, format="binary")
        return time.perf_counter() - started
