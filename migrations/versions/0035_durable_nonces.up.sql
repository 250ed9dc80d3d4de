-- A payout that is signed elsewhere may live by a nonce account instead of a recent blockhash: then it can land as long as
-- the account holds the value that it names, and never after it was advanced.
ALTER TABLE payout_attempts
  ALTER COLUMN last_valid_block_height DROP NOT NULL,
  ADD COLUMN nonce_account address,
  ADD COLUMN nonce_value address,
  ADD COLUMN nonce_slot bigint,
  ADD CONSTRAINT payout_attempts_lifetime CHECK (
    (nonce_account IS NULL) = (last_valid_block_height IS NOT NULL)
    AND (nonce_account IS NULL) = (nonce_value IS NULL)
    AND (nonce_account IS NULL) = (nonce_slot IS NULL)
  );
COMMENT ON COLUMN payout_attempts.last_valid_block_height IS 'Beyond this height, finalized, it can never land; null where it lives by a nonce';
COMMENT ON COLUMN payout_attempts.dead_from_slot IS 'A finalized slot beyond that height, or at which the nonce was advanced: a ledger proven up to here knows its fate';
COMMENT ON COLUMN payout_attempts.nonce_account IS 'The nonce account that it advances';
COMMENT ON COLUMN payout_attempts.nonce_value IS 'It can land while the nonce account holds this value';
COMMENT ON COLUMN payout_attempts.nonce_slot IS 'The finalized slot at which the account was seen to hold it: what older slots show says nothing';
-- One value lets one transaction land, so it is given to one payout, once and for ever.
CREATE UNIQUE INDEX payout_attempts_nonce ON payout_attempts (nonce_account, nonce_value) WHERE nonce_account IS NOT NULL;
CREATE UNIQUE INDEX payout_attempts_nonce_living ON payout_attempts (nonce_account) WHERE nonce_account IS NOT NULL AND ended_at IS NULL;
