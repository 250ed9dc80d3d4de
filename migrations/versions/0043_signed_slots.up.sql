-- What is signed lives for 150 blocks, which take as many slots at least. Where a node says that the chain is beyond them,
-- that many slots have to have passed since: its word alone is not enough where there is no other node.
ALTER TABLE payout_attempts ADD COLUMN signed_slot bigint;
COMMENT ON COLUMN payout_attempts.signed_slot IS 'The newest slot that was seen when it was signed; null where it lives by a nonce, or is older than this column';
ALTER TABLE settlements ADD COLUMN signed_slot bigint;
COMMENT ON COLUMN settlements.signed_slot IS 'The newest slot that was seen when it was signed; null where it is older than this column';
