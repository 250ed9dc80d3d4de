-- What each process may do, and no more; given again whenever the schema is brought up to date. A section per role.

-- role: pay402_indexer
-- Writes what the chain did. Of claims it only moves the status, to where their transfers are.
GRANT SELECT ON alembic_version, cluster, state_transitions, tokens, recipients, token_accounts, transfers,
  balance_changes, vanished_transactions, transactions, heartbeats, index_requests, backfill_requests
  TO pay402_indexer;
-- A wallet that was removed is followed until what is on its way to it is decided.
GRANT SELECT (pay_to, status) ON settlements TO pay402_indexer;
GRANT INSERT, UPDATE ON token_accounts, transfers, balance_changes, heartbeats TO pay402_indexer;
GRANT INSERT ON tokens, events, claim_changes, cluster TO pay402_indexer;
GRANT INSERT ON report_credit_changes, report_claim_changes, report_recipient_changes TO pay402_indexer;
GRANT INSERT, DELETE, UPDATE (missing_at_height) ON vanished_transactions TO pay402_indexer;
GRANT UPDATE (status, code, received, settled_at, reversed_at) ON transactions TO pay402_indexer;
GRANT UPDATE ON index_requests, backfill_requests TO pay402_indexer;
-- A node may have said a slot that the chain has not reached when a wallet was registered.
GRANT UPDATE (followed_from_slot) ON recipients TO pay402_indexer;
GRANT DELETE ON heartbeats, index_requests TO pay402_indexer;

-- role: pay402_api
-- Answers requests. It reads the ledger and may lock a transfer, but never writes one; money is sent by the worker.
GRANT SELECT ON alembic_version, cluster, state_transitions, tokens, recipients, former_recipients, token_accounts,
  transfers, balance_changes, transactions, nonces, api_keys, idempotent_answers, heartbeats, events, agent_services,
  agent_ids, job_requests, job_fundings, ratings, payouts, payout_redirects, reconciliation_runs, index_requests,
  backfill_requests, claim_changes, revenue_days, agent_days, agent_months TO pay402_api;
-- `pay402 doctor` checks with its login that fees were borne, and that nothing is paid twice; the bytes are no business of
-- it.
GRANT SELECT (
  id, payout_id, outcome, fee_lamports, gift_lamports, nonce_account, dead_from_slot, signature, created_at, ended_at
) ON payout_attempts TO pay402_api;
GRANT UPDATE (lock_only) ON transfers TO pay402_api;
-- It settles payments over x402: whatever happens, their terms and bytes stay as they were stored. A payment that landed
-- after it was shown as failed gives up its payment request where another has paid that.
GRANT SELECT, INSERT ON settlements TO pay402_api;
GRANT UPDATE (
  status, request_nonce, reason, detail, claim_id, slot, lamports_spent, answering_since, answered_at, sent_at, decided_at
) ON settlements TO pay402_api;
GRANT SELECT, INSERT, UPDATE ON settlement_budgets TO pay402_api;
GRANT INSERT ON former_recipients, tokens, claim_changes, events, index_requests, backfill_requests,
  reconciliation_runs, ratings, payout_redirects TO pay402_api;
GRANT INSERT ON report_claim_changes, report_request_changes, report_recipient_changes TO pay402_api;
GRANT INSERT, UPDATE ON recipients, transactions, nonces, api_keys, agent_services, agent_ids, job_requests
  TO pay402_api;
GRANT UPDATE (cursor_slot, cursor_signature, audited_slot, audited_balance, heal_wanted_at, heal_reason)
  ON token_accounts TO pay402_api;
GRANT INSERT, UPDATE, DELETE ON idempotent_answers TO pay402_api;
GRANT SELECT ON feed, feed_position TO pay402_api;
-- It makes the secrets of webhooks, and cannot read them again.
GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks TO pay402_api;
GRANT INSERT ON webhook_secrets TO pay402_api;
GRANT SELECT (webhook_id, made_at, valid_until, public_key, sealed_by) ON webhook_secrets TO pay402_api;
GRANT UPDATE (valid_until) ON webhook_secrets TO pay402_api;
GRANT SELECT, INSERT, UPDATE ON webhook_deliveries TO pay402_api;
GRANT SELECT, INSERT, DELETE ON console_sessions TO pay402_api;
GRANT SELECT, INSERT ON finding_decisions TO pay402_api;
GRANT UPDATE (action, withdrawn_by, withdrawn_at) ON finding_decisions TO pay402_api;
-- The same order twice is one: the second finds the first by writing its name again.
GRANT UPDATE (requested_by) ON backfill_requests TO pay402_api;

-- role: pay402_worker
-- Settles claims and jobs and sends what they say. It reads everything but the hashes of keys, and may end a key.
GRANT SELECT ON alembic_version, cluster, state_transitions, tokens, recipients, token_accounts, transfers, balance_changes,
  vanished_transactions, transactions, nonces, idempotent_answers, heartbeats, events, agent_services, agent_ids,
  job_requests, job_fundings, ratings, payouts, payout_attempts, payout_redirects, reconciliation_runs, index_requests,
  backfill_requests,
  claim_changes, revenue_days, agent_days, agent_months TO pay402_worker;
GRANT SELECT (key_prefix, user_id, expires_at, revoked, revoked_at) ON api_keys TO pay402_worker;
GRANT UPDATE (revoked) ON api_keys TO pay402_worker;
GRANT UPDATE (lock_only) ON transfers TO pay402_worker;
-- It sends settlements again and decides them, and clears away their bytes when those have served.
GRANT SELECT ON settlements TO pay402_worker;
GRANT UPDATE (
  status, request_nonce, reason, detail, claim_id, slot, lamports_spent, answered_at, sent_at, decided_at, wire,
  last_valid_block_height, signed_slot
) ON settlements TO pay402_worker;
GRANT SELECT, DELETE ON settlement_budgets TO pay402_worker;
GRANT UPDATE (heal_wanted_at, heal_reason) ON token_accounts TO pay402_worker;
GRANT INSERT, UPDATE ON transactions, nonces, agent_services, agent_ids, job_requests, job_fundings, ratings, payouts,
  payout_attempts, reconciliation_runs, index_requests, heartbeats, revenue_days, agent_days, agent_months
  TO pay402_worker;
GRANT UPDATE (ended_at, outcome) ON payout_redirects TO pay402_worker;
GRANT INSERT ON cluster, events, payout_redirects TO pay402_worker;
-- It publishes what happened, for which it knows whose wallet something was.
GRANT SELECT ON former_recipients TO pay402_worker;
GRANT SELECT, UPDATE ON feed_position TO pay402_worker;
GRANT SELECT, INSERT, DELETE ON feed, feed_gaps TO pay402_worker;
GRANT SELECT, UPDATE ON webhooks TO pay402_worker;
GRANT SELECT, DELETE, UPDATE (secret, signing_seed, sealed_by) ON webhook_secrets TO pay402_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO pay402_worker;
-- Claim changes are folded, agents' days and what has served its time are cleared away.
GRANT INSERT, UPDATE, DELETE ON claim_changes TO pay402_worker;
-- What reports keep follows what is noted of changes; findings that are open come first.
GRANT SELECT ON finding_decisions TO pay402_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON report_credits, report_claims, report_findings, report_finding_totals,
  report_credit_changes, report_claim_changes, report_request_changes, report_recipient_changes TO pay402_worker;
GRANT SELECT, UPDATE ON report_state TO pay402_worker;
GRANT UPDATE (status, headers, body) ON idempotent_answers TO pay402_worker;
GRANT DELETE ON agent_days, idempotent_answers, heartbeats, events, nonces, index_requests, backfill_requests,
  reconciliation_runs TO pay402_worker;

-- role: pay402_analytics
-- For analysts and BI tools: the views, and nothing behind them.
GRANT USAGE ON SCHEMA analytics TO pay402_analytics;
GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO pay402_analytics;
