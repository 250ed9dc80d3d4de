ALTER TABLE token_accounts DROP COLUMN lost_slot;
