ALTER TABLE transactions RENAME COLUMN answered_at TO told_at;
COMMENT ON COLUMN transactions.told_at IS
  'When its payer''s proof was answered with yes, which happens once; null while nobody has asked';
COMMENT ON COLUMN transactions.asked_with IS
  'Hash of the Idempotency-Key, and its caller, of the request that was told yes: it may be told again';
