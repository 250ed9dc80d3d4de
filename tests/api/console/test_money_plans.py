"""Lists of findings, jobs, payouts and settlements find what they show in an index, however much there is besides."""

import json

import pytest

from api.console import timeline
from ledger import findings, job_lists, jobs, recipients, settlement_lists
from ledger.sql import planned_for_its_values
from tests.support.query_plans import plan_of, read_whole, rows_read
from tests.support.small_ledger import TOKEN_PROGRAM, USDC, address

COUNT, LIMIT, KEPT = 20_000, 20, 1_000
READ_MAX = 20 * LIMIT
WALLET, OTHERS = address(1), address(2)
RELATIONS = {
    "job_requests", "payouts", "settlements", "events", "transfers", "transactions", "reconciliation_runs",
    "finding_decisions", "job_fundings", "nonces",
}  # fmt: skip
JOB_STATUSES = ["pending", "accepted", "in_progress", "completed", "approved", "disputed", "cancelled", "expired"]
PAYOUT_STATUSES = ["queued", "waiting", "awaiting_signature", "signed", "sent", "settled"]
SETTLEMENT_STATUSES = ["signed", "sent", "settled", "failed"]

FILL = f"""
SET LOCAL session_replication_role = replica;
INSERT INTO agent_services
  (user_id, agent_id, payout_address, name, category, pricing_model, price_amount, price_mint, price_currency)
VALUES ('heavy', 'a', '{WALLET}', 'n', 'ai', 'fixed', 5, '{USDC}', 'USDC');
INSERT INTO job_requests (service_id, client_user_id, client_agent_id, provider_user_id, provider_agent_id,
  payout_address, price_amount, price_mint, price_currency, nonce, reference, settlement_wallet,
  settlement_user_id, environment, fund_until, deadline, created_at, status, ended_at)
SELECT s.id, CASE WHEN n % 1000 = 0 THEN 'small' ELSE 'client' END, 'c', 'heavy', 'a', s.payout_address, 5,
  s.price_mint, 'USDC',
  'job-' || n, left(translate(md5(n::text) || md5(n::text), '0', 'z'), 44), '{WALLET}', 'o', 'live', now(), now(),
  now() - n * interval '1 minute', CASE WHEN n % 400 = 0 THEN 'pending' ELSE 'expired' END::job_status,
  CASE WHEN n % 400 = 0 THEN NULL ELSE now() END
FROM generate_series(1, {COUNT}) AS n, agent_services AS s;
INSERT INTO transfers (signature, path, slot, kind, program, mint, source, destination, source_owner, destination_owner,
  authority, amount, finality)
SELECT translate(rpad('', 56, md5(n::text)) || md5(n::text), '0', 'z'), '0', n, 'transferChecked', '{TOKEN_PROGRAM}',
  '{USDC}', p.payer, '{WALLET}', p.payer, '{WALLET}', p.payer, n, 'finalized'
FROM generate_series(1, {COUNT}) AS n
CROSS JOIN LATERAL (
  SELECT left(translate(md5((n % 2000)::text) || md5('payer'), '0', 'z'), 44) AS payer
) AS p;
INSERT INTO payouts (job_id, claim_id, part, kind, reason, wallet, recipient, mint, amount, reference, status,
  settled_signature, settled_path, settled_at, created_at)
SELECT j.id, gen_random_uuid(), 'escrow', 'refund', 'expired', '{WALLET}', '{OTHERS}', '{USDC}', 5, j.reference,
  CASE WHEN j.n % 1000 = 0 THEN 'queued' ELSE 'settled' END::payout_status,
  CASE WHEN j.n % 1000 = 0 THEN NULL ELSE t.signature END, CASE WHEN j.n % 1000 = 0 THEN NULL ELSE '0' END,
  CASE WHEN j.n % 1000 = 0 THEN NULL ELSE now() END, j.created_at
FROM (SELECT *, row_number() OVER (ORDER BY created_at) AS n FROM job_requests) AS j
JOIN transfers AS t ON t.slot = j.n;
INSERT INTO settlements (message_hash, user_id, environment, protocol_version, network, payer, fee_payer, pay_to, mint,
  destination, amount, signature, wire, last_valid_block_height, payload_hash, lamports_reserved, status, reason,
  decided_at, created_at)
SELECT sha256(n::text::bytea), CASE WHEN n % 1000 = 0 THEN 'small' ELSE 'heavy' END, 'live', 2, 'n', '{OTHERS}',
  '{address(3)}', '{WALLET}', '{USDC}', '{WALLET}', n, t.signature, CASE WHEN n % 400 = 0 THEN '\\x00'::bytea END, 1,
  sha256('x'), 5000, CASE WHEN n % 400 = 0 THEN 'signed' ELSE 'failed' END::settlement_status,
  CASE WHEN n % 400 = 0 THEN NULL ELSE 'r' END, CASE WHEN n % 400 = 0 THEN NULL ELSE now() END,
  now() - n * interval '1 minute'
FROM generate_series(1, {COUNT}) AS n JOIN transfers AS t ON t.slot = n;
INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ('{OTHERS}', 'heavy', 0);
INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at)
SELECT nonce, 'heavy', CASE WHEN status = 'pending' THEN settlement_wallet ELSE '{OTHERS}' END, price_mint, 'USDC', 5,
  reference, now() - interval '1 day' FROM job_requests;
INSERT INTO events (type, subject) SELECT 'job.pending', id::text FROM job_requests;
INSERT INTO events (type, subject) SELECT 'x402.signed', id::text FROM settlements;
INSERT INTO reconciliation_runs (status, requested_by, report, created_at, finished_at)
SELECT 'done', 't', jsonb_build_object('counts', '{{}}'::jsonb, 'findings', '{{}}'::jsonb), now() - n * interval '1 h',
  now() - n * interval '1 h'
FROM generate_series(1, 2000) AS n;
INSERT INTO reconciliation_runs (status, requested_by, report, finished_at)
SELECT 'done', 't', jsonb_build_object(
    'counts', jsonb_build_object('unmatchedTransfer', {KEPT}),
    'findings', jsonb_build_object('unmatchedTransfer', jsonb_agg(jsonb_build_object(
      'kind', 'unmatchedTransfer', 'userId', CASE WHEN slot % 100 = 0 THEN 'small' ELSE 'heavy' END,
      'signature', signature, 'path', path, 'mint', mint, 'amountBaseUnits', amount::text, 'expectedBaseUnits', NULL,
      'payer', source_owner, 'recipient', destination_owner, 'nonce', NULL, 'claimId', NULL, 'code', NULL, 'at', slot
    )))
  ), now()
FROM transfers WHERE slot <= {KEPT};
INSERT INTO finding_decisions (finding_id, kind, user_id, action, decided_by)
SELECT md5(n::text), 'unmatchedTransfer', 'heavy', 'accepted', 'heavy' FROM generate_series(1, {COUNT}) AS n;
INSERT INTO finding_decisions
  (finding_id, kind, user_id, signature, path, action, decided_by, refund_signature, refund_path, refund_amount)
SELECT md5(signature), 'unmatchedTransfer', 'heavy', signature, path, 'refunded', 'heavy', signature, path, 1
FROM transfers;
"""

STATEMENTS = {
    "everybody's jobs": (job_lists, "page_of_all_jobs", {"statuses": JOB_STATUSES}),
    "everybody's jobs, far behind": (job_lists, "page_of_all_jobs", {"statuses": JOB_STATUSES, "is_far": True}),
    "a heavy provider's jobs": (job_lists, "page_of_jobs", {"statuses": JOB_STATUSES, "user_id": "heavy"}),
    "a heavy provider's jobs, far behind": (
        job_lists, "page_of_jobs", {"statuses": JOB_STATUSES, "user_id": "heavy", "is_far": True},
    ),
    "a small client's jobs": (job_lists, "page_of_jobs", {"statuses": JOB_STATUSES, "user_id": "small"}),
    "a heavy provider's few that are open": (job_lists, "page_of_jobs", {"statuses": ["pending"], "user_id": "heavy"}),
    "everybody's payouts": (job_lists, "page_of_payouts", {"statuses": PAYOUT_STATUSES}),
    "everybody's payouts, far behind": (job_lists, "page_of_payouts", {"statuses": PAYOUT_STATUSES, "is_far": True}),
    "payouts that wait": (job_lists, "page_of_payouts", {"statuses": PAYOUT_STATUSES[:3]}),
    "everybody's settlements": (settlement_lists, "page_of_all_settlements", {"statuses": SETTLEMENT_STATUSES}),
    "a heavy merchant's settlements, far behind": (
        settlement_lists, "page_of_settlements",
        {"statuses": SETTLEMENT_STATUSES, "user_id": "heavy", "is_far": True},
    ),
    "a small merchant's settlements": (
        settlement_lists, "page_of_settlements", {"statuses": SETTLEMENT_STATUSES, "user_id": "small"},
    ),
    "a heavy merchant's few under way": (
        settlement_lists, "page_of_settlements", {"statuses": ["signed", "sent"], "user_id": "heavy"},
    ),
    "what happened to a job": (timeline, "moments_of_job", {"is_job": True}),
    "what happened to a settlement": (timeline, "moments_of_settlement", {"settlement_id": "none"}),
    "these jobs": (jobs, "jobs", {"is_job": True, "offset": 0}),
    "what may have given a transfer back": (findings, "transfers_back", {"path": "0"}),
    "whether jobs are paid to a wallet": (recipients, "has_open_jobs", {"address": OTHERS}),
    "what was decided about a finding": (findings, "decisions_of_finding", {"finding_id": "0" * 32, "path": "0"}),
}  # fmt: skip
OF_THE_REPORT = {
    "everybody's findings": ("page_of_findings", {}),
    "a merchant's findings": ("page_of_findings", {"user_id": "small"}),
    "open findings": ("page_of_findings", {"state": "open"}),
    "how many findings there are": ("count_findings", {}),
}


@pytest.fixture
async def ledger(pool):
    """The pool, over many jobs, payouts, settlements, reports and decisions."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute(FILL)
        await connection.execute(f"VACUUM ANALYZE {', '.join(RELATIONS)}, agent_services")
    return pool


async def test_each_statement_reads_little_more_than_it_shows(ledger):
    far = await ledger.fetchrow("SELECT created_at, id FROM job_requests WHERE nonce = $1", f"job-{COUNT // 2}")
    signature = await ledger.fetchval("SELECT signature FROM transfers WHERE slot = 7")
    wrong = {}
    for what, (owner, name, chosen) in STATEMENTS.items():
        given = {"limit": LIMIT, "signature": signature, **chosen}
        if chosen.get("is_far"):
            given |= {"created_at": far["created_at"], "id": far["id"]}
        if chosen.get("is_job"):
            given |= {"job_id": str(far["id"]), "ids": [far["id"]]}
        async with planned_for_its_values(ledger) as connection:
            plan = await plan_of(connection, owner._queries, name, given)
        whole = set(read_whole(plan, RELATIONS)) - {"job_fundings", "transactions"}
        if rows_read(plan, RELATIONS) > READ_MAX or whole:
            wrong[what] = (rows_read(plan, RELATIONS), whole, json.dumps(plan))
    assert wrong == {}


async def test_findings_cost_what_the_report_keeps_and_not_what_was_ever_decided(ledger):
    wrong = {}
    for what, (name, chosen) in OF_THE_REPORT.items():
        async with planned_for_its_values(ledger) as connection:
            plan = await plan_of(connection, findings._queries, name, {"limit": LIMIT, **chosen})
        if rows_read(plan, RELATIONS) > 5 * KEPT or read_whole(plan, RELATIONS):
            wrong[what] = (rows_read(plan, RELATIONS), read_whole(plan, RELATIONS), json.dumps(plan))
    assert wrong == {}


async def test_what_keeps_a_wallet_live_is_found_without_reading_what_is_over(ledger):
    given = {"address": OTHERS, "late_seconds": 60.0}
    async with ledger.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        plan = await plan_of(connection, recipients._queries, "move_to_tests", given)
    assert (await ledger.fetchval("SELECT environment FROM recipients")) == "test"
    assert rows_read(plan, RELATIONS) <= READ_MAX, json.dumps(plan)
    assert set(read_whole(plan, RELATIONS)) <= {"transactions"}
