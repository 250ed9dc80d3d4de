ALTER TABLE transactions DROP COLUMN claimed_from;
