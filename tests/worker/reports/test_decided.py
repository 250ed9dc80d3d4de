"""A report keeps so many findings of a kind: those that nobody has decided about come before all others."""

import json

import pytest

from ledger.findings import FindingFilter, PlaceAmongFindings, count_findings, page_of_findings
from tests.support.job_shop import fast_settings
from tests.support.query_plans import plan_of, read_whole, rows_read
from tests.support.reconciling import reconcile
from tests.support.small_ledger import TOKEN_PROGRAM, USDC, add_merchant, address
from worker.context import open_worker_context
from worker.reports import kept
from worker.reports.changes import bring_up_to_date, held_report
from worker.reports.contents import FINDINGS_KEPT_PER_KIND
from worker.reports.run import make_full_report

KEPT = FINDINGS_KEPT_PER_KIND
PAGE = 500
NOWHERE = "http://127.0.0.1:9"

PAY = f"""
INSERT INTO transfers (signature, path, slot, block_time, kind, program, mint, source, destination, source_owner,
  destination_owner, authority, amount, finality)
SELECT translate(rpad('', 56, md5(n::text)) || md5(n::text), '0', 'z'), '0', n,
  '2026-01-01'::timestamptz + n * interval '1 second', 'transferChecked', '{TOKEN_PROGRAM}', '{USDC}', '{address(8)}',
  '{address(9)}', '{address(8)}', $3, '{address(8)}', n, 'finalized'
FROM generate_series($1::int, $2::int) AS n
"""
REFUSE = f"""
WITH made AS (
  INSERT INTO transactions (user_id, nonce, signature, payer, recipient, mint, currency, amount, least_amount,
    environment, status, "timestamp")
  SELECT $4, 'refused-' || n, translate(rpad('', 56, md5('c' || n)) || md5('c' || n), '0', 'z'), '{address(8)}', $3,
    '{USDC}', 'USDC', n, n, 'live', 'pending', '2026-01-01'::timestamptz + n * interval '1 second'
  FROM generate_series($1::int, $2::int) AS n
  RETURNING id
)
SELECT id FROM made
"""
ACCEPT_ALL = """
INSERT INTO finding_decisions (finding_id, kind, user_id, action, decided_by)
SELECT id, kind, 'shop', 'accepted', 'shop' FROM newest_findings(NULL, NULL) WHERE state = 'open'
"""


@pytest.fixture
async def merchant(pool):
    return await add_merchant(pool, "shop", 60)


async def pay(pool, merchant, first, last):
    """Payments that nobody claims, of `first` to `last` base units, the later the more."""
    await pool.execute(PAY, first, last, merchant.wallet)


async def refuse(pool, merchant, first, last):
    """Claims that were refused, and are findings of two kinds."""
    made = await pool.fetch(REFUSE, first, last, merchant.wallet, merchant.user)
    await pool.execute(
        "UPDATE transactions SET status = 'failed', code = 'INSUFFICIENT_AMOUNT' WHERE id = ANY($1)",
        [row["id"] for row in made],
    )


async def shown(pool, state, kind):
    """What the console lists, page by page: expected or paid base units, newest first."""
    found, after = [], None
    while True:
        page = await page_of_findings(pool, FindingFilter("shop", kind, state), after=after, limit=PAGE)
        found += [one.expected or one.amount for one in page]
        if len(page) < PAGE:
            return found
        after = PlaceAmongFindings(page[-1].at, page[-1].id)


MAKE = {"unmatchedTransfer": pay, "unpaidClaim": refuse, "shortPayment": refuse}


@pytest.mark.parametrize("kind", MAKE)
async def test_after_a_thousand_decisions_new_findings_are_shown(pool, database_url, merchant, kind):
    await MAKE[kind](pool, merchant, 1, KEPT)
    await reconcile(database_url)
    assert len(await shown(pool, "open", kind)) == KEPT
    await pool.execute(ACCEPT_ALL)
    await MAKE[kind](pool, merchant, KEPT + 1, KEPT + 3)
    await reconcile(database_url)
    assert await shown(pool, "open", kind) == [KEPT + 3, KEPT + 2, KEPT + 1]
    # What was decided keeps the rest of the room.
    assert await shown(pool, "accepted", kind) == list(range(KEPT - 3, 0, -1))
    (count,) = [one for one in await count_findings(pool, "shop") if one.kind == kind]
    assert (count.counted, count.kept, count.open) == (KEPT + 3, KEPT, 3)


async def test_what_was_given_back_makes_room_too(pool, database_url, merchant):
    await pay(pool, merchant, 1, KEPT)
    # Each was given back by another transfer, from the wallet that was paid.
    await pool.execute(
        f"INSERT INTO finding_decisions (finding_id, kind, user_id, signature, path, action, decided_by,"
        f" refund_signature, refund_path, refund_amount) SELECT md5(signature), 'unmatchedTransfer', 'shop', signature,"
        f" path, 'refunded', 'shop', signature, path, amount FROM transfers WHERE slot <= {KEPT}"
    )
    await pay(pool, merchant, KEPT + 1, KEPT + 1)
    await reconcile(database_url)
    assert await shown(pool, "open", "unmatchedTransfer") == [KEPT + 1]
    assert len(await shown(pool, "refunded", "unmatchedTransfer")) == KEPT - 1


async def test_a_note_leaves_a_finding_open(pool, database_url, merchant):
    await pay(pool, merchant, 1, KEPT + 1)
    await reconcile(database_url)
    await pool.execute(ACCEPT_ALL.replace("accepted'", "noted'").replace("decided_by)", "decided_by, note)").replace(
        "'shop' FROM", "'shop', 'asked' FROM"))  # fmt: skip
    await reconcile(database_url)
    assert await shown(pool, "open", "unmatchedTransfer") == list(range(KEPT, 0, -1))


async def test_a_report_from_the_whole_ledger_keeps_the_same(pool, database_url, merchant):
    await pay(pool, merchant, 1, KEPT + 5)
    await refuse(pool, merchant, 1, KEPT + 5)
    await reconcile(database_url)
    await pool.execute(ACCEPT_ALL)
    async with open_worker_context(fast_settings(), database_url, [NOWHERE]) as context:
        full = await make_full_report(context)
    assert full.kept_differences == []
    for kind in MAKE:
        amounts = [one.expected_base_units or one.amount_base_units for one in full.findings[kind]]
        assert amounts == [*range(KEPT + 1, KEPT + 6), *range(1, KEPT - 4)], kind


DECIDED, OPEN = 3_000, 20_000
READ_MAX = 4 * (DECIDED + KEPT)


@pytest.mark.parametrize("name", ["kept_findings", "unpaid_findings", "short_claim_findings"])
async def test_a_report_reads_what_was_decided_and_what_it_keeps(pool, database_url, merchant, name):
    """By age from an index, one by one: not all that is open, however much that is."""
    make = pay if name == "kept_findings" else refuse
    for first in range(1, DECIDED + 1, KEPT):
        await make(pool, merchant, first, first + KEPT - 1)
        await reconcile(database_url)
        await pool.execute(ACCEPT_ALL)
    await make(pool, merchant, DECIDED + 1, DECIDED + OPEN)
    given = {"kind": "unmatchedTransfer", "is_open": True, "limit": KEPT}
    read = {"report_findings", "recipients", "transactions", "finding_decisions", "payouts"}
    async with held_report(pool) as connection:
        await bring_up_to_date(connection)
    await pool.execute("VACUUM ANALYZE report_findings, transactions, finding_decisions, recipients")
    async with held_report(pool) as connection:
        await bring_up_to_date(connection)
        plan = await plan_of(connection, kept._queries, name, given)
    assert plan["Actual Rows"] == KEPT
    assert rows_read(plan, read) < READ_MAX, json.dumps(plan)
    assert read_whole(plan, read - {"recipients"}) == [], json.dumps(plan)
