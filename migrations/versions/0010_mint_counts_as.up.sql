-- The rule of ledger.tokens.mints_counting_as for statements: SOL comes native, filed under the System program's
-- address, and wrapped.
CREATE FUNCTION mint_counts_as(paid text, asked text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN paid = asked
    OR (asked = '11111111111111111111111111111111' AND paid = 'So11111111111111111111111111111111111111112');
COMMENT ON FUNCTION mint_counts_as IS 'True for a payment in one mint that counts as one in the mint that was asked for';
