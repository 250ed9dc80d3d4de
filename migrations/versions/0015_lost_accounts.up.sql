-- A token account may be handed over, or closed and opened again by somebody else at the same address. From then on what
-- is on it is not the wallet's.
ALTER TABLE token_accounts ADD COLUMN lost_slot bigint;
COMMENT ON COLUMN token_accounts.lost_slot IS 'A finalized slot at which it belonged to somebody else; it is not followed';
