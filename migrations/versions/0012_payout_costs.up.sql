-- What goes out never costs the settlement wallet more than came in: what it spends on opening an account is taken from
-- the money that goes there.
ALTER TABLE payouts
  ADD COLUMN charged base_units NOT NULL DEFAULT 0,
  ADD COLUMN rent_lamports bigint NOT NULL DEFAULT 0 CHECK (rent_lamports >= 0),
  ADD COLUMN asked_at timestamptz,
  ADD CHECK (charged < amount),
  ADD CHECK (rent_lamports = 0 OR charged > 0);
COMMENT ON COLUMN payouts.amount IS 'What is owed, in base units; what is charged stays, and a token''s own fee is the recipient''s';
COMMENT ON COLUMN payouts.charged IS 'Kept for the rent of an account that is opened for the recipient, or the fee of a refund in SOL, in base units';
COMMENT ON COLUMN payouts.rent_lamports IS 'What the settlement wallet pays for opening that account';
COMMENT ON COLUMN payouts.asked_at IS 'When somebody asked for it though it is small, or one of many';
COMMENT ON COLUMN payouts.token_fee IS 'What the token itself took, borne by the recipient';
CREATE INDEX payouts_recipient ON payouts (recipient, created_at) WHERE kind = 'refund';
