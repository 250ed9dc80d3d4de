DROP TABLE vanished_transactions;
ALTER TABLE token_accounts
  DROP COLUMN audited_slot,
  DROP COLUMN audited_balance,
  DROP COLUMN audited_at,
  DROP COLUMN drift,
  DROP COLUMN gaps;
