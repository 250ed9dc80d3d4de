DROP INDEX payout_attempts_nonce_living, payout_attempts_nonce;
ALTER TABLE payout_attempts DROP CONSTRAINT payout_attempts_lifetime;
-- Those that have ended need no lifetime any more; one that lives by a nonce forbids going down.
UPDATE payout_attempts SET last_valid_block_height = 0 WHERE nonce_account IS NOT NULL AND ended_at IS NOT NULL;
ALTER TABLE payout_attempts
  DROP COLUMN nonce_slot, DROP COLUMN nonce_value, DROP COLUMN nonce_account,
  ALTER COLUMN last_valid_block_height SET NOT NULL;
COMMENT ON COLUMN payout_attempts.last_valid_block_height IS 'Beyond this height, finalized, it can never land';
COMMENT ON COLUMN payout_attempts.dead_from_slot IS 'A finalized slot beyond that height: a ledger proven up to here knows its fate';
