-- After empty-ledger.sql and the backfill: proves that the transfer of every claim, payout and refund is there again. It fails and
-- names one that is missing; then the node has not the whole history: backfill from another node and run this again.
ALTER TABLE transactions VALIDATE CONSTRAINT transactions_signature_path_fkey;
ALTER TABLE payouts VALIDATE CONSTRAINT payouts_settled_signature_settled_path_fkey;
ALTER TABLE finding_decisions VALIDATE CONSTRAINT finding_decisions_refund_signature_refund_path_fkey;
ANALYZE transfers, balance_changes;
