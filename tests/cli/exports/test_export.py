"""`pay402 export`, read back and held against the ledger."""

import asyncio
import csv
import datetime as dt
import io
import os
import signal
import stat
import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger.amounts import BASE_UNITS_MAX, amount_text
from tests.support.command_line import eventually, pay402, running
from tests.support.small_ledger import USDC, USDT, add_claim, add_merchant, add_transfer

DAY = dt.timedelta(days=1)
FIRST = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
AWKWARD = 'he said "1,2"\nand = left; \u20ac \U0001f600'


@pytest.fixture
async def books(pool):
    """Two merchants; claims of every status over ten days, an orphaned transfer, the largest amount, awkward text."""
    merchants = [await add_merchant(pool, f"user-{n}", 10 + 2 * n) for n in range(2)]
    for n, status in enumerate(["finalized", "confirmed", "pending", "failed", "expired", "reversed"] * 2):
        await add_claim(pool, merchants[n % 2], 10**n + 1, mint=[USDC, USDT][n % 2], status=status, at=FIRST + n * DAY)
    await add_transfer(pool, merchants[0], BASE_UNITS_MAX, fee=3, at=FIRST + 3 * DAY)
    await add_transfer(pool, merchants[1], 5, finality="orphaned", at=FIRST + 4 * DAY)
    await add_transfer(pool, merchants[1], 6, at=None)
    await pool.execute("UPDATE transactions SET resource = $1, agent_id = ''", AWKWARD)
    return merchants


async def exported(home, dsn, *arguments):
    """The rows of an export to standard output, each a dictionary of texts."""
    done = await pay402("export", *arguments, home=home, DATABASE_URL=dsn)
    assert done.code == 0, done.err
    return list(csv.DictReader(io.StringIO(done.out, newline="")))


async def test_transfers_as_csv_are_the_ledgers(home, database_url, pool, books):
    rows = await exported(home, database_url, "transfers")
    ledger = await pool.fetch(
        "SELECT *, coalesce(block_time, recorded_at) AS at FROM transfers ORDER BY at, signature, path"
    )
    assert [(row["signature"], row["path"]) for row in rows] == [(row["signature"], row["path"]) for row in ledger]
    for row, truth in zip(rows, ledger, strict=True):
        assert int(row["amount_base_units"]) == truth["amount"]
        assert int(row["credited_base_units"]) == truth["amount"] - truth["fee"]
        assert Decimal(row["credited"]) == Decimal(amount_text(truth["amount"] - truth["fee"], 6))
        assert row["finality"] == truth["finality"]
        assert dt.datetime.fromisoformat(row["paid_at"]) == truth["at"]
        assert row["decimals"] == "6"
    assert sum(int(row["amount_base_units"]) for row in rows) == await pool.fetchval(
        "SELECT sum(amount) FROM transfers"
    )


async def test_what_a_former_owner_was_paid_is_exported_as_theirs(home, database_url, pool, books):
    handed_over = FIRST + 2 * DAY
    theirs = await exported(home, database_url, "transfers", "--user", "user-0")
    await pool.execute(
        "INSERT INTO former_recipients (address, user_id, owned_until) VALUES ($1, 'user-0', $2)",
        books[0].wallet, handed_over,
    )  # fmt: skip
    await pool.execute(
        "UPDATE recipients SET user_id = 'heir', owned_since = $2 WHERE address = $1", books[0].wallet, handed_over
    )
    found = {user: await exported(home, database_url, "transfers", "--user", user) for user in ("user-0", "heir")}
    assert len(found["user-0"]) + len(found["heir"]) == len(theirs)
    assert all(found.values())
    assert all(dt.datetime.fromisoformat(row["paid_at"]) < handed_over for row in found["user-0"])
    assert all(dt.datetime.fromisoformat(row["paid_at"]) >= handed_over for row in found["heir"])
    rows = await pool.fetch("SELECT user_id, count(*) FROM analytics.transfers GROUP BY user_id")
    counts = {row["user_id"]: row["count"] for row in rows}
    assert {user: counts[user] for user in found} == {user: len(some) for user, some in found.items()}


async def test_claims_as_csv_are_the_ledgers(home, database_url, pool, books):
    rows = await exported(home, database_url, "claims")
    ledger = await pool.fetch('SELECT * FROM transactions ORDER BY "timestamp", id')
    assert len(rows) == len(ledger) == 12
    for row, truth in zip(rows, ledger, strict=True):
        assert (row["id"], row["status"]) == (str(truth["id"]), truth["status"])
        assert int(row["amount_base_units"]) == truth["amount"]
        assert row["received_base_units"] == ("" if truth["received"] is None else str(truth["received"]))
        assert row["resource"] == AWKWARD
        assert (row["agent_id"], row["code"]) == ("", truth["code"] or "")


@pytest.mark.parametrize("subject", ["transfers", "claims", "payouts"])
async def test_parquet_and_csv_say_the_same(home, database_url, books, tmp_path, subject):
    rows = await exported(home, database_url, subject)
    target = tmp_path / "out.parquet"
    done = await pay402("export", subject, "--format", "parquet", "-o", target, home=home, DATABASE_URL=database_url)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"export: {len(rows)} {subject} to {target}\n"
    table = pq.read_table(target)
    for field in table.schema:
        if field.name.endswith("_base_units"):
            assert field.type == pa.decimal128(20, 0)
        if field.name.endswith("_at"):
            assert field.type == pa.timestamp("us", tz="UTC")

    def text(value):
        return "" if value is None else str(value)

    for ours, theirs in zip(table.to_pylist(), rows, strict=True):
        for name, value in ours.items():
            if isinstance(value, dt.datetime):
                assert dt.datetime.fromisoformat(theirs[name]) == value
            else:
                assert text(value) == theirs[name]
    if subject == "transfers":
        assert Decimal(BASE_UNITS_MAX) in table.column("amount_base_units").to_pylist()


async def test_a_range_and_a_merchant_narrow_it(home, database_url, pool, books):
    rows = await exported(
        home, database_url, "claims", "--since", "2026-03-03T12:00:00", "--until", "2026-03-07T12:00:00"
    )
    # The first moment counts, the last does not.
    assert [dt.datetime.fromisoformat(row["claimed_at"]) for row in rows] == [FIRST + n * DAY for n in (2, 3, 4, 5)]
    own = await exported(home, database_url, "transfers", "--user", "user-1")
    assert {row["user_id"] for row in own} == {"user-1"}
    assert len(own) == await pool.fetchval(
        "SELECT count(*) FROM transfers WHERE destination_owner = $1", books[1].wallet
    )


async def test_parquet_goes_through_a_pipe(home, database_url, books):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "export", "claims", "--format", "parquet",
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PAY402_HOME": str(home), "DATABASE_URL": database_url},
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert pq.read_table(pa.BufferReader(out)).num_rows == 12


async def test_a_file_that_is_there_is_kept_unless_asked_otherwise(home, database_url, books, tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("mine")
    given = {"home": home, "DATABASE_URL": database_url}
    (await pay402("export", "claims", "-o", target, **given)).assert_refused(str(target), "--force")
    assert target.read_text() == "mine"
    assert (await pay402("export", "claims", "-o", target, "--force", **given)).code == 0
    assert len(list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"), newline="")))) == 12
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask
    assert list(tmp_path.iterdir()) == [target]


async def test_what_cannot_be_exported_is_reported(home, database_url, tmp_path):
    given = {"home": home, "DATABASE_URL": database_url}
    nowhere = tmp_path / "nowhere" / "out.csv"
    (await pay402("export", "claims", "-o", nowhere, **given)).assert_refused(str(nowhere))
    backwards = ("--since", "2026-02-01", "--until", "2026-01-01")
    (await pay402("export", "claims", *backwards, **given)).assert_refused("--until", "--since")
    (await pay402("export", "keys", **given)).assert_refused("keys", "--help", code=2)


def test_without_pyarrow_parquet_is_refused_in_a_sentence(home, database_url, tmp_path):
    hide = "import sys; sys.modules['pyarrow'] = None; sys.argv[0] = 'pay402'; from cli.main import run; run()"
    # A module that is None in sys.modules is one that is not installed, to whoever looks for it.
    done = subprocess.run(
        [sys.executable, "-c", hide, "export", "claims", "--format", "parquet"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PAY402_HOME": str(home), "DATABASE_URL": database_url},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: Parquet needs pyarrow; install requirements-parquet.lock (docs/analytics.md, *Files*), "
        "or export with --format csv.\n"
    )


async def test_one_that_is_stopped_leaves_nothing(home, database_url, pool, books, tmp_path):
    async with pool.acquire() as connection, connection.transaction():
        # Whoever reads claims waits here.
        await connection.execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
        target = tmp_path / "out.csv"
        async with running("export", "claims", "-o", target, home=home, DATABASE_URL=database_url) as export:
            await eventually(
                lambda: pool.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE application_name = 'pay402-export' AND wait_event_type = 'Lock'"
                )
            )
            assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
            done = await export.stopped(signal.SIGTERM)
    assert done.code == 1
    assert "Stopped before" in done.err
    assert list(tmp_path.iterdir()) == []


async def test_a_reader_that_has_enough_ends_it_quietly(home, database_url, pool, books):
    await pool.execute(
        "INSERT INTO transfers (signature, path, slot, kind, program, mint, source, amount)"
        " SELECT rpad('', 87, '3'), n::text, 1, 'transfer', $1, $1, $1, n FROM generate_series(1, 20000) AS n",
        USDC,
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "export", "transfers",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PAY402_HOME": str(home), "DATABASE_URL": database_url},
    )  # fmt: skip
    await process.stdout.readline()
    process.stdout._transport.close()
    assert await process.wait() == 141
    assert await process.stderr.read() == b""
