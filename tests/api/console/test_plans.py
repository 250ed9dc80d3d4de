"""The console's own statements find what they show in an index, however much there is besides."""

import json

import pytest

from api.console import accounts, search, timeline
from ledger import api_keys, completeness, index_requests, payment_requests, recipients
from ledger.sql import planned_for_its_values
from tests.support.small_ledger import TOKEN_PROGRAM, USDC, address

COUNT, LIMIT = 20_000, 20
READ_MAX = 20 * LIMIT
WALLET, OTHERS = address(1), address(2)
RELATIONS = {
    "nonces", "transfers", "transactions", "events", "payouts", "job_fundings", "token_accounts", "balance_changes",
    "api_keys", "backfill_requests",
}  # fmt: skip

FILL = [
    """
    INSERT INTO recipients (address, user_id, followed_from_slot)
    VALUES ($3::text, 'small', 0), ($4::text, 'heavy', 0)
    """,
    """
    INSERT INTO nonces
      (nonce, user_id, recipient, mint, currency, amount, reference, created_at, expires_at, expired_at)
    SELECT 'request-' || n, CASE WHEN n % 1000 = 0 THEN 'small' ELSE 'heavy' END, $4::text, $2::text, 'USDC', n,
      left(translate(md5(n::text) || md5(n::text), '0', 'z'), 44),
      now() - n * interval '1 minute', now() - n * interval '1 minute' + interval '15 minutes',
      CASE WHEN n > 15 THEN now() END
    FROM generate_series(1, $1::int) AS n
    """,
    """
    INSERT INTO transfers (signature, path, slot, kind, program, mint, source, destination, source_owner,
      destination_owner, authority, amount, memos, finality)
    SELECT translate(rpad('', 56, md5(n::text)) || md5(n::text), '0', 'z'), '0', n / 4, 'transferChecked', $5::text,
      $2::text, $4::text, $4::text, $4::text, CASE WHEN n % 1000 = 0 THEN $3::text ELSE $4::text END, $4::text, n,
      ARRAY['memo ' || n % 5000], 'finalized'
    FROM generate_series(1, $1::int) AS n
    """,
    """
    INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount,
      received, status)
    SELECT 'heavy', 'nonce-' || slot * 4, signature, path, $4::text, $4::text, mint, 'USDC', amount, amount, amount,
      'finalized'
    FROM transfers WHERE amount % 4 = 0 AND destination_owner = $4::text
    """,
    """
    INSERT INTO events (type, subject, data)
    SELECT 'transfer.confirmed', signature, jsonb_build_object('path', path) FROM transfers
    """,
    """
    INSERT INTO recipients (address, user_id, followed_from_slot)
    SELECT left(translate(md5('w' || n) || md5(n::text), '0', 'z'), 44), 'many', 0
    FROM generate_series(1, $1::int / 4) AS n
    """,
    """
    INSERT INTO token_accounts (address, recipient, mint, program, audited_slot, audited_balance, audited_at, gaps)
    SELECT left(translate(md5('a' || address) || md5(address), '0', 'z'), 44), address, $2::text, $5::text, $1::int, 0,
      now(), CASE WHEN address < '14' THEN 1 ELSE 0 END
    FROM recipients
    """,
    """
    INSERT INTO balance_changes (signature, account, slot, mint, pre, post, finality)
    SELECT t.signature, a.address, t.amount, $2::text, 0, 1, 'finalized'
    FROM transfers AS t
    JOIN token_accounts AS a ON a.recipient = CASE WHEN t.amount % 10 = 0 THEN $3::text ELSE $4::text END
    """,
    """
    INSERT INTO api_keys (key_prefix, key, user_id, name, environment, permissions, created_at)
    SELECT 'sk_live_' || n, md5(n::text) || md5('x' || n), CASE WHEN n % 1000 = 0 THEN 'small' ELSE 'heavy' END,
      'a key', 'live', '{read}', now() - n * interval '1 minute'
    FROM generate_series(1, $1::int) AS n
    """,
    """
    INSERT INTO backfill_requests (requested_by, recipient, status, finished_at)
    SELECT 'somebody', address, 'done', now() FROM recipients
    """,
]  # fmt: skip


@pytest.fixture
async def ledger(pool):
    """The pool, over many requests, payments and claims of a heavy merchant, and a few of a small one."""
    given = (COUNT, str(USDC), WALLET, OTHERS, str(TOKEN_PROGRAM))
    async with pool.acquire() as connection:
        for statement in FILL:
            used = [value for n, value in enumerate(given, 1) if f"${n}" in statement]
            places = [n for n in range(1, len(given) + 1) if f"${n}" in statement]
            for new, old in enumerate(places, 1):
                statement = statement.replace(f"${old}", f"${new}")  # noqa: PLW2901 - numbered anew
            await connection.execute(statement, *used)
        await connection.execute(
            "VACUUM ANALYZE nonces, transfers, transactions, events, recipients, token_accounts, balance_changes,"
            " api_keys, backfill_requests"
        )
    return pool


def read(plan):
    """How many rows a plan read of the tables that grow."""
    below = sum(map(read, plan.get("Plans", ())))
    if plan.get("Relation Name") not in RELATIONS:
        return below
    dropped = sum(count for name, count in plan.items() if name.startswith("Rows Removed"))
    return below + (plan["Actual Rows"] + dropped) * plan["Actual Loops"]


def scans(plan):
    """The tables that a plan reads from one end to the other."""
    here = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in RELATIONS else []
    return here + [one for part in plan.get("Plans", ()) for one in scans(part)]


STATEMENTS = {
    "everybody's requests": (payment_requests, "page_of_all_requests", {}),
    "everybody's requests, far behind": (payment_requests, "page_of_all_requests", {"is_far": True}),
    "a heavy merchant's requests": (payment_requests, "page_of_requests", {"user_id": "heavy"}),
    "a heavy merchant's requests, far behind": (
        payment_requests, "page_of_requests", {"user_id": "heavy", "is_far": True},
    ),
    "a small merchant's requests": (payment_requests, "page_of_requests", {"user_id": "small"}),
    "everybody's open requests": (payment_requests, "count_open_requests", {}),
    "a small merchant's open requests": (payment_requests, "count_open_requests", {"user_id": "small"}),
    "a memo": (search, "signatures_of_memo", {"memo": "memo 77", "user_id": "heavy"}),
    "a memo of nobody": (search, "signatures_of_memo", {"memo": "none"}),
    "a nonce": (search, "signature_of_nonce", {"nonce": "nonce-4000", "user_id": "heavy"}),
    "a nonce of nobody": (search, "signature_of_nonce", {"nonce": "none"}),
    "an amount": (search, "signatures_of_amount", {"user_id": "heavy", "mints": [str(USDC)], "amounts": [77],
                                                   "wallets_max": 5, "looked_through": 100}),
    "what happened to a payment": (timeline, "moments", {"claims": ["7c9e6679-7425-40de-944b-e07fc1f90ae7"]}),
    "how far accounts are proven": (completeness, "proof_of_accounts", {"user_id": "heavy"}),
    "everybody's accounts": (accounts, "page_of_accounts", {}),
    "everybody's accounts, far behind": (accounts, "page_of_accounts", {"after_wallet": "9", "after_address": "9"}),
    "the accounts of a merchant with many wallets": (accounts, "page_of_accounts", {"user_id": "many"}),
    "a small merchant's accounts": (accounts, "page_of_accounts", {"user_id": "small"}),
    "one account": (accounts, "page_of_accounts", {"address": WALLET}),
    "everybody's accounts in doubt": (accounts, "page_of_accounts", {"in_doubt": True}),
    "what an account has since its audit": (accounts, "changes_after", {"after": 1, "changes_max": 100}),
    "what contradicts an account": (accounts, "contested_transfers", {"address": WALLET}),
    "everybody's keys": (api_keys, "list_keys", {"include_revoked": True}),
    "everybody's keys, far behind": (
        api_keys, "list_keys", {"include_revoked": True, "after": f"sk_live_{COUNT // 2}"},
    ),
    "a heavy merchant's keys": (api_keys, "list_keys", {"user_id": "heavy"}),
    "a small merchant's keys": (api_keys, "list_keys", {"user_id": "small"}),
    "everybody's wallets": (recipients, "recipients_of", {}),
    "a small merchant's wallets": (recipients, "recipients_of", {"user_id": "small"}),
    "healing that is under way": (index_requests, "unfinished_backfill", {"recipient": WALLET}),
}  # fmt: skip


async def test_each_statement_reads_little_more_than_it_shows(ledger):
    far = await ledger.fetchval("SELECT created_at FROM nonces WHERE nonce = $1", f"request-{COUNT // 2}")
    signature = await ledger.fetchval("SELECT signature FROM transfers WHERE amount = 7")
    account = await ledger.fetchval("SELECT address FROM token_accounts WHERE recipient = $1", WALLET)
    wrong = {}
    for what, (owner, name, chosen) in STATEMENTS.items():
        queries = owner._queries
        given = {"limit": LIMIT, "count_max": 1_000, "signature": signature, "address": account, "in_doubt": False,
                 "include_revoked": False, **chosen}  # fmt: skip
        if chosen.get("is_far"):
            given |= {"created_at": far, "nonce": "request"}
        names = dict.fromkeys(queries.driver_adapter.var_sorted[name])
        async with planned_for_its_values(ledger) as connection:
            explained = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {getattr(queries, name).sql}"
            (row,) = await connection.fetch(explained, *(given.get(one) for one in names))
        plan = row[0][0]["Plan"]
        if read(plan) > READ_MAX or scans(plan) not in ([], ["payouts"], ["job_fundings"]):
            wrong[what] = (read(plan), json.dumps(plan))
    assert wrong == {}
