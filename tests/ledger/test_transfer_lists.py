"""Lists of transfers: each is exactly what its filters ask for, and reads little more than it shows."""

import datetime as dt
import json
from dataclasses import asdict, replace

import pytest

from ledger import transfers as owner
from ledger.sql import planned_for_its_values
from ledger.transfers import PlaceInList, TransferFilter, page_of_transfers
from tests.support.small_ledger import TOKEN_PROGRAM, USDC, USDT, address

COUNT, WALLETS, LIMIT = 24_000, 239, 20
# Some pages, and for the indexes' own choice a few more.
READ_MAX = 25 * LIMIT
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HEAVY, RARE_PAYER, RARE_MINT = address(1), address(2), address(3)

FILL = """
INSERT INTO transfers (signature, path, slot, block_time, kind, program, mint, source, destination, source_owner,
  destination_owner, authority, amount, finality, recorded_at)
SELECT translate(rpad('', 56, md5(n::text)) || md5(n::text), '0', 'z'), '0', 1000 + n / 4, made,
  CASE WHEN n % 97 = 0 THEN 'mintTo' ELSE 'transferChecked' END, $2::text,
  CASE WHEN n IN (100, 103, 5000) THEN $3::text WHEN n % 5 = 0 THEN $4::text ELSE $5::text END,
  $6::text, $6::text, CASE WHEN n IN (100, 203, 6001) THEN $7::text ELSE payers.address END,
  CASE
    WHEN n % 11 = 0 THEN $6::text  -- to a wallet that nobody registered
    WHEN n % 3 = 1 THEN $8::text
    ELSE wallets.address
  END,
  $6::text, n, CASE WHEN n IN (100, 302, 7000) THEN 'orphaned' ELSE 'finalized' END::finality,
  -- The history of one slot in a hundred was fetched long afterwards.
  made + CASE WHEN n / 4 % 100 = 0 THEN interval '30 days' ELSE interval '1 second' END
FROM generate_series(1, $1::int) AS n
CROSS JOIN LATERAL (SELECT $9::timestamptz + n / 4 * interval '10 minutes' AS made) AS m
JOIN many AS wallets ON wallets.place = n % $10::int
JOIN many AS payers ON payers.place = 500 + n % 300
"""


@pytest.fixture
async def ledger(pool):
    """The pool, over many transfers to many wallets, a third of them to one that is heavy."""
    async with pool.acquire() as connection:
        await connection.execute("CREATE TEMP TABLE many (place int, address text)")
        await connection.copy_records_to_table("many", records=[(n, _one_of_many(n)) for n in range(1_000)])
        await connection.execute(
            "INSERT INTO recipients (address, user_id, followed_from_slot)"
            " SELECT address,"
            " CASE WHEN place >= 200 THEN 'many' WHEN place >= 190 THEN 'several' ELSE 'user-' || place END, 0"
            " FROM many WHERE place < $1 UNION ALL SELECT $2, 'heavy', 0",
            WALLETS, HEAVY,
        )  # fmt: skip
        await connection.execute(
            FILL, COUNT, TOKEN_PROGRAM, RARE_MINT, USDT, USDC, address(9), RARE_PAYER, HEAVY, START, WALLETS
        )
        await connection.execute("VACUUM ANALYZE transfers, recipients")
    return pool


def _one_of_many(n):
    return address(10 + n // 100)[:-6] + f"{n:06d}".replace("0", "z")


def _at(slot):
    return START + (slot - 1000) * dt.timedelta(minutes=10)


FILTERS = {
    "everything": TransferFilter(),
    "one wallet": TransferFilter(recipient=HEAVY),
    "a small wallet": TransferFilter(recipient=_one_of_many(5)),
    "a common payer": TransferFilter(payer=_one_of_many(503)),
    "a rare payer": TransferFilter(payer=RARE_PAYER),
    "nobody's payments": TransferFilter(payer=address(77)),
    "a rare mint": TransferFilter(mint=RARE_MINT),
    "a mint that nobody uses": TransferFilter(mint=address(77)),
    "a common mint": TransferFilter(mint=USDT),
    "seen by too few nodes": TransferFilter(finalities=("pending",)),
    "forks": TransferFilter(finalities=("orphaned",)),
    "not yet final": TransferFilter(finalities=("confirmed",)),
    "confirmed and final": TransferFilter(finalities=("confirmed", "finalized")),
    "the last hour": TransferFilter(since=_at(1000 + COUNT // 4) - dt.timedelta(hours=1)),
    "nothing since": TransferFilter(since=_at(1000 + COUNT // 4) + dt.timedelta(days=99)),
    "long ago": TransferFilter(until=_at(1050)),
    "an hour long ago": TransferFilter(since=_at(1044), until=_at(1050)),
    "before everything": TransferFilter(until=START),
    "a rare payer, a rare mint, a fork": TransferFilter(payer=RARE_PAYER, mint=RARE_MINT, finalities=("orphaned",)),
}
PLACES = {"the first page": None, "a page far behind": 2500}


@pytest.mark.parametrize("user", [None, "heavy", "user-7", "several", "many"])
async def test_each_list_is_right_and_reads_little_more_than_it_shows(ledger, user):
    rows = await ledger.fetch(
        "SELECT t.*, r.user_id FROM transfers AS t JOIN recipients AS r ON r.address = t.destination_owner"
        " WHERE kind_is_payment(t.kind)"
    )
    rows.sort(key=lambda row: (-row["slot"], row["signature"], row["path"]))
    found_something = 0
    for name, one in FILTERS.items():
        wanted = replace(one, user_id=user)
        for place, slot in PLACES.items():
            after = None if slot is None else PlaceInList(slot, "", "")
            expected = [row["signature"] for row in rows if _is_wanted(row, wanted, slot)][:LIMIT]
            page = await page_of_transfers(ledger, wanted, after=after, limit=LIMIT)
            assert [found.signature for found in page] == expected, (name, place)
            found_something += bool(expected)
            if user in {"several", "many"}:
                continue  # what is read of each wallet is bounded as it is for a user with one
            read, plan = await _rows_read(ledger, wanted, slot)
            assert read <= READ_MAX, f"{name}, {place}: {read} rows\n{json.dumps(plan)}"
    assert found_something > len(FILTERS) / 3


def _is_wanted(row, wanted, slot):
    return (
        wanted.user_id in {None, row["user_id"]}
        and wanted.recipient in {None, row["destination_owner"]}
        and wanted.payer in {None, row["source_owner"]}
        and wanted.mint in {None, row["mint"]}
        and (wanted.finalities is None or _shown(row) in wanted.finalities)
        and (wanted.since is None or row["recorded_at"] >= wanted.since)
        and (wanted.until is None or row["recorded_at"] < wanted.until)
        and (slot is None or row["slot"] <= slot)
    )


def _shown(row):
    return row["finality"] if row["awaits_witness_since"] is None else "pending"


async def _rows_read(pool, wanted, slot):
    """How many rows of transfers and claims the page's statement reads, and its plan."""
    queries = owner._queries
    async with planned_for_its_values(pool) as connection:
        name, given = "payments_of_everybody", {}
        if wanted.user_id is not None:
            given = await connection.fetchrow("SELECT address FROM recipients WHERE user_id = $1", wanted.user_id)
            if wanted.recipient not in {None, given["address"]}:
                return 0, "another's wallet"
            name, given = "payments_of_wallet", {"recipient": given["address"]}
        until_slot = wanted.until and await queries.slot_recorded_before(connection, until=wanted.until)
        given = {
            **asdict(wanted),
            **owner._finalities(wanted.finalities),
            "until_slot": until_slot,
            "limit": LIMIT,
            **given,
        }
        given |= {"slot": slot, "signature": "", "path": ""}
        names = dict.fromkeys(queries.driver_adapter.var_sorted[name])
        explained = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {getattr(queries, name).sql}"
        (row,) = await connection.fetch(explained, *(given.get(one) for one in names))
    plan = row[0][0]["Plan"]
    return _read(plan), plan


def _read(plan):
    below = sum(map(_read, plan.get("Plans", ())))
    if plan.get("Relation Name") not in {"transfers", "transactions"}:
        return below
    dropped = sum(count for name, count in plan.items() if name.startswith("Rows Removed"))
    return below + (plan["Actual Rows"] + dropped) * plan["Actual Loops"]
