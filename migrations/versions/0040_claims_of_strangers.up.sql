-- Whoever claims without a key shares a bound with others who do, and not with those who have a key.
ALTER TABLE transactions ADD COLUMN claimed_from smallint;
COMMENT ON COLUMN transactions.claimed_from IS
  'From which client it was claimed without a key, in 16 bits of a hash: enough to share fairly, too few to know anybody by; null for whoever had a key';
