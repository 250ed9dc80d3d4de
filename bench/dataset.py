"""Ledgers of any size for measurements, made by SQL on a separate Postgres."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from ledger.sql import load_queries
from ledger.totals import fold_claim_changes
from migrations.migrate import upgrade
from runtime.database import open_connection
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.errors import OperatorError

_queries = load_queries("bench", "dataset.sql")
_TABLES: Final = ["transfers", "transactions"]
_LOAD_SECONDS: Final = 3600.0
_READ_BYTES: Final = 8_000_000
_BYTES_PER_TRANSFER: Final = 3_500  # with its claim, all indexes, and room to sort them

# Loading skips the WAL for a table that was emptied in the same transaction; the measurements write it as usual.
_OPTIONS: Final = {
    "shared_buffers": "2GB",
    "maintenance_work_mem": "1GB",
    "work_mem": "64MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}

# Text of the characters of base58, as random to an index as a signature is.
_BENCH_TEXT: Final = """
CREATE FUNCTION bench_text(seed text, length int) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  left(translate(md5(seed) || md5('x' || seed) || md5('y' || seed), '0', 'z'), length)
"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A filled database. The newest `unclaimed` transfers honour no claim yet."""

    dsn: str
    transfers: int
    claims: int
    unclaimed: int
    load_seconds: float

    async def newest_unclaimed(self, connection: "asyncpg.Connection[Any]") -> list[Any]:
        """The transfers that honour no claim yet, in any order."""
        rows = _queries.unclaimed(connection, transfers=self.transfers, unclaimed=self.unclaimed)
        return [row async for row in rows]


@asynccontextmanager
async def bench_server(options: dict[str, str] | None = None) -> AsyncIterator[EmbeddedPostgres]:
    """A Postgres whose data is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="pay402-bench-"))
    server = EmbeddedPostgres(home, options={**_OPTIONS, **(options or {})})
    try:
        await asyncio.to_thread(server.enter)
        yield server
    finally:
        await asyncio.to_thread(server.leave)
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def filled_ledger(
    server: EmbeddedPostgres,
    transfers: int,
    *,
    claims: int | None = None,
    unclaimed: int = 0,
    merchants: int = 100,
    payers: int = 5_000,
    agents: int = 500,
    heavy_percent: int = 0,
    analytics: bool = False,
) -> AsyncIterator[Ledger]:
    """A ledger of so many transfers, with claims for all of them unless fewer are asked for; it is dropped afterwards.

    With `analytics` it also has events and totals. `heavy_percent` of all transfers go to the first merchant.

    Raises:
        OperatorError: The disk has no room for it.
    """
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < transfers * _BYTES_PER_TRANSFER:
        gigabytes = transfers * _BYTES_PER_TRANSFER / 1e9
        raise OperatorError(f"A ledger of {transfers} transfers needs {gigabytes:.0f} GB; free the disk.")
    claims = transfers - unclaimed if claims is None else min(claims, transfers - unclaimed)
    started = time.monotonic()
    name = f"ledger_{transfers}"
    await _execute(server, f"CREATE DATABASE {name}")
    dsn = server.dsn(name)
    try:
        await upgrade(dsn)
        async with open_connection(dsn, statement_timeout_seconds=_LOAD_SECONDS) as connection:
            await connection.execute(_BENCH_TEXT)
            given = {"merchants": merchants, "payers": payers, "agents": agents, "heavy_percent": heavy_percent}
            await _fill(connection, transfers=transfers, claims=claims, unclaimed=unclaimed, **given)
            if analytics:
                await _queries.make_events(connection)
                await _queries.note_all_claims(connection)
                await fold_claim_changes(connection)
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")
        yield Ledger(dsn, transfers, claims, unclaimed, time.monotonic() - started)
    finally:
        await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _fill(connection: "asyncpg.Connection[Any]", *, transfers: int, merchants: int, **given: int) -> None:
    await _queries.make_merchants(connection, merchants=merchants)
    async with connection.transaction():
        # Triggers and foreign keys would cost more than the rows, and the rows made here satisfy them.
        await connection.execute("SET LOCAL session_replication_role = replica")
        restore = await _strip(connection, _TABLES)
        await connection.execute(f"TRUNCATE {', '.join(_TABLES)} CASCADE")
        paid = {name: given[name] for name in ("payers", "heavy_percent")}
        await _queries.make_transfers(connection, transfers=transfers, merchants=merchants, **paid)
        await connection.execute("ANALYZE transfers")
        claimed = {name: given[name] for name in ("claims", "unclaimed", "agents")}
        await _queries.make_claims(connection, transfers=transfers, **claimed)
        for statement in restore:
            await connection.execute(statement)


async def _strip(connection: "asyncpg.Connection[Any]", tables: Sequence[str]) -> list[str]:
    """Drop constraints and indexes of some tables; return the statements that make them again."""
    indexes = [row async for row in _queries.indexes_of(connection, tables=list(tables))]
    constraints = [row async for row in _queries.constraints_of(connection, tables=list(tables))]
    restore = [row["definition"] for row in indexes]
    for row in indexes:
        await connection.execute(f"DROP INDEX {row['name']}")
    for row in constraints:
        await connection.execute(f"ALTER TABLE {row['relation']} DROP CONSTRAINT {row['name']}")
    # Keys first, then what refers to them. Checks are made NOT VALID, because the rows made here satisfy them.
    for row in reversed(constraints):
        later = "" if row["kind"] in {"p", "u"} else " NOT VALID"
        definition = row["definition"].removesuffix(" NOT VALID")
        restore.append(f"ALTER TABLE {row['relation']} ADD CONSTRAINT {row['name']} {definition}{later}")
    return restore


async def read_indexes(server: EmbeddedPostgres, ledger: Ledger) -> None:
    """Read the indexes of `ledger`, so that they are in memory whatever was loaded since."""
    async with open_connection(ledger.dsn) as connection:
        rows = await connection.fetch(
            "SELECT pg_relation_filepath(indexrelid) FROM pg_index WHERE indrelid = ANY($1::text[]::regclass[])"
            " UNION ALL SELECT pg_relation_filepath('transactions')",
            _TABLES,
        )
    await asyncio.to_thread(_read, [server.log.parent / row[0] for row in rows])


def _read(paths: Sequence[Path]) -> None:
    for path in paths:
        # A relation of more than a gigabyte is several files.
        for file in sorted(path.parent.glob(f"{path.name}*")):
            with file.open("rb") as opened:
                while opened.read(_READ_BYTES):
                    pass


async def _execute(server: EmbeddedPostgres, statement: str) -> None:
    async with open_connection(server.dsn("postgres"), statement_timeout_seconds=_LOAD_SECONDS) as connection:
        await connection.execute(statement)
