-- Empties what the chain can tell again, and nothing else: claims, keys, jobs and payouts stay. For a ledger whose rows
-- are damaged where no backup is. Stop indexer, API and worker before; run it as the tables' owner:
--
--   psql "$DATABASE_URL" --set=ON_ERROR_STOP=1 --file=deploy/postgres/empty-ledger.sql
--   pay402 backfill --from-slot 0
--   psql "$DATABASE_URL" --set=ON_ERROR_STOP=1 --file=deploy/postgres/close-ledger.sql
BEGIN;
SET LOCAL lock_timeout = '10s';
-- A claim stays bound to its transfer by signature and path while that is away; no other claim can take it meanwhile.
ALTER TABLE transactions DROP CONSTRAINT transactions_signature_path_fkey;
ALTER TABLE payouts DROP CONSTRAINT payouts_settled_signature_settled_path_fkey;
TRUNCATE transfers, balance_changes;
-- Bound again at once for whatever is written from now on, and for what is there by close-ledger.sql.
ALTER TABLE transactions ADD CONSTRAINT transactions_signature_path_fkey
  FOREIGN KEY (signature, path) REFERENCES transfers (signature, path) NOT VALID;
ALTER TABLE payouts ADD CONSTRAINT payouts_settled_signature_settled_path_fkey
  FOREIGN KEY (settled_signature, settled_path) REFERENCES transfers (signature, path) NOT VALID;
-- Should the backfill never be run, the indexer walks every history all the same.
UPDATE token_accounts
SET cursor_slot = 0, cursor_signature = NULL, audited_at = NULL, audited_slot = NULL, audited_balance = NULL,
  heal_wanted_at = now(), heal_reason = 'rebuilt';
COMMIT;
