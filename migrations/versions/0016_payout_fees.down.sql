DROP FUNCTION gift_left_lamports(text, bigint, bigint);
ALTER TABLE payout_attempts DROP COLUMN gift_lamports, DROP COLUMN fee_lamports;
COMMENT ON COLUMN payouts.charged IS 'Kept for the rent of an account that is opened for the recipient, or the fee of a refund in SOL, in base units';
ALTER TABLE payouts DROP COLUMN charged_lamports;
