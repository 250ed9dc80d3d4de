-- After empty-ledger.sql and the backfill: proves that the transfer of every claim and payout is there again, and fails
-- where one is not, naming it. Then the node that was asked lacks history: ask another, and run this again.
ALTER TABLE transactions VALIDATE CONSTRAINT transactions_signature_path_fkey;
ALTER TABLE payouts VALIDATE CONSTRAINT payouts_settled_signature_settled_path_fkey;
ANALYZE transfers, balance_changes;
