-- Empties the tables that can be filled from the chain again; claims, keys, jobs and payouts stay. For a ledger whose rows
-- are damaged when there is no backup. Stop indexer, API and worker first; run it as the owner of the tables:
--
--   psql "$DATABASE_URL" --set=ON_ERROR_STOP=1 --file=deploy/postgres/empty-ledger.sql
--   pay402 backfill --from-slot 0
--   psql "$DATABASE_URL" --set=ON_ERROR_STOP=1 --file=deploy/postgres/close-ledger.sql
BEGIN;
SET LOCAL lock_timeout = '10s';
-- A claim stays bound to its transfer by signature and path while the transfer is missing, so no other claim can take it.
ALTER TABLE transactions DROP CONSTRAINT transactions_signature_path_fkey;
ALTER TABLE payouts DROP CONSTRAINT payouts_settled_signature_settled_path_fkey;
ALTER TABLE finding_decisions DROP CONSTRAINT finding_decisions_refund_signature_refund_path_fkey;
TRUNCATE transfers, balance_changes;
-- The foreign keys hold for every row that is written from now on; close-ledger.sql checks the rows that are there.
ALTER TABLE transactions ADD CONSTRAINT transactions_signature_path_fkey
  FOREIGN KEY (signature, path) REFERENCES transfers (signature, path) NOT VALID;
ALTER TABLE payouts ADD CONSTRAINT payouts_settled_signature_settled_path_fkey
  FOREIGN KEY (settled_signature, settled_path) REFERENCES transfers (signature, path) NOT VALID;
ALTER TABLE finding_decisions ADD CONSTRAINT finding_decisions_refund_signature_refund_path_fkey
  FOREIGN KEY (refund_signature, refund_path) REFERENCES transfers (signature, path) NOT VALID;
-- Even without the backfill, the indexer walks every history.
UPDATE token_accounts
SET cursor_slot = 0, cursor_signature = NULL, audited_at = NULL, audited_slot = NULL, audited_balance = NULL,
  heal_wanted_at = now(), heal_reason = 'rebuilt';
COMMIT;
