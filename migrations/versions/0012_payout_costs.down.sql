DROP INDEX payouts_recipient;
COMMENT ON COLUMN payouts.amount IS 'What the recipient gains, in base units; a token''s own fee comes on top';
COMMENT ON COLUMN payouts.token_fee IS 'What the token itself took, borne by the settlement wallet';
ALTER TABLE payouts DROP COLUMN asked_at, DROP COLUMN rent_lamports, DROP COLUMN charged;
