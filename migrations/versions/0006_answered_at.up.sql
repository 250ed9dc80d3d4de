-- A column is called by what it is: the time at which a proof was answered that its claim is honoured.
ALTER TABLE transactions RENAME COLUMN told_at TO answered_at;
COMMENT ON COLUMN transactions.answered_at IS
  'When a proof of this claim was answered with yes, which happens once; null while nobody has asked';
COMMENT ON COLUMN transactions.asked_with IS
  'Hash of the Idempotency-Key, and its caller, of the request that was answered yes: it may be answered again';
