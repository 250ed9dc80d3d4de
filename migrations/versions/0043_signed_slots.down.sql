ALTER TABLE payout_attempts DROP COLUMN signed_slot;
ALTER TABLE settlements DROP COLUMN signed_slot;
