-- Whose a payment is: what a proof is good for, what a request demands, and since when a wallet is whose.

-- One payer's signature over one nonce is good for one payment, whichever merchant it is shown to. A merchant's own
-- payment request stays payable whatever somebody else does with its nonce.
ALTER TABLE transactions ADD COLUMN for_request boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN transactions.for_request IS 'Its nonce is that of a payment request of this merchant''s';
UPDATE transactions AS c SET for_request = true
FROM nonces AS n
WHERE n.nonce = c.nonce AND n.user_id = c.user_id;
CREATE UNIQUE INDEX transactions_payer_nonce ON transactions (nonce, payer)
  WHERE status IN ('confirmed', 'finalized', 'reversed') AND NOT for_request;

-- What moves nothing is no payment: from an account to itself, or between two accounts of one owner.
CREATE FUNCTION moves_money(source text, destination text, source_owner text, destination_owner text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN source IS DISTINCT FROM destination AND (source_owner IS NULL OR source_owner IS DISTINCT FROM destination_owner);
COMMENT ON FUNCTION moves_money(text, text, text, text) IS
  'Whether a transfer changes whose money it is; one between two accounts of one owner does not';

-- The same as `least_equal_amount` of ledger/amounts.py, by the same doubles; a test compares the two.
CREATE FUNCTION whole_units(product double precision) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  -- A cast to numeric would keep 15 digits, and bigint ends at 2^63.
  WHEN product < 9223372036854775808 THEN trunc(product)::bigint::numeric
  WHEN product >= 18446744073709551616 THEN 18446744073709551616
  ELSE 9223372036854775808 + trunc(product - 9223372036854775808::double precision)::bigint::numeric
END;
COMMENT ON FUNCTION whole_units(double precision) IS 'The floor of a product of doubles, exactly';

CREATE FUNCTION least_equal_amount(amount numeric, decimals integer) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN greatest(1, least(
  amount,
  whole_units((amount::text || 'e-' || decimals)::double precision * ('1e' || decimals)::double precision),
  CASE WHEN decimals >= 2 THEN whole_units(
    (amount::text || 'e-' || decimals)::double precision * 100 * ('1e' || (decimals - 2))::double precision
  ) END
));
COMMENT ON FUNCTION least_equal_amount(numeric, integer) IS
  'What counts as an amount in base units: a client that computes in doubles rounds it down';

ALTER TABLE nonces
  ADD COLUMN proof_version smallint NOT NULL DEFAULT 1 CHECK (proof_version IN (1, 2)),
  ADD COLUMN final_only boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN nonces.proof_version IS 'Which proofs are accepted: 1 all, 2 those that sign recipient and transaction too';
COMMENT ON COLUMN nonces.final_only IS 'Paid by a finalized transfer only, however it is matched';

ALTER TABLE api_keys ADD COLUMN proof_version smallint NOT NULL DEFAULT 1 CHECK (proof_version IN (1, 2));
COMMENT ON COLUMN api_keys.proof_version IS 'Which proofs are accepted: 1 all, 2 those that sign recipient and transaction too';

ALTER TABLE recipients
  ADD COLUMN environment text NOT NULL DEFAULT 'live' CHECK (environment IN ('live', 'test')),
  ADD COLUMN owned_since timestamptz;
COMMENT ON COLUMN recipients.environment IS 'Of the key that registered it: a test key changes no live wallet';
COMMENT ON COLUMN recipients.owned_since IS
  'Payments from then on are its user''s; null for the first user, whose all earlier ones are too';

CREATE TABLE former_recipients (
  address address NOT NULL REFERENCES recipients (address),
  user_id text NOT NULL,
  owned_since timestamptz,
  owned_until timestamptz NOT NULL,
  PRIMARY KEY (address, owned_until)
);
COMMENT ON TABLE former_recipients IS 'Whose a wallet was before: what was paid to it then stays theirs to see';
CREATE INDEX former_recipients_user_id ON former_recipients (user_id);
