-- The network's fees of payouts: each is borne by the money that is sent, or given by us within a budget of a day.
ALTER TABLE payouts ADD COLUMN charged_lamports bigint NOT NULL DEFAULT 0 CHECK (charged_lamports >= 0);
COMMENT ON COLUMN payouts.charged IS 'Kept for what sending costs us, in base units: rent of an account, fees that are not given';
COMMENT ON COLUMN payouts.charged_lamports IS 'What is borne by what is charged, in lamports';
-- What was charged until now was rent and, of refunds in SOL, the fee itself.
UPDATE payouts SET charged_lamports = rent_lamports WHERE rent_lamports > 0;

ALTER TABLE payout_attempts
  ADD COLUMN fee_lamports bigint NOT NULL DEFAULT 0 CHECK (fee_lamports >= 0),
  ADD COLUMN gift_lamports bigint NOT NULL DEFAULT 0 CHECK (gift_lamports >= 0);
COMMENT ON COLUMN payout_attempts.fee_lamports IS 'The network''s fee, paid by the settlement wallet if it lands, failed or not; 0 for attempts older than this column';
COMMENT ON COLUMN payout_attempts.gift_lamports IS 'Fees, of attempts that failed before too, that are not taken from the payout';
CREATE INDEX payout_attempts_gifts ON payout_attempts (created_at) WHERE gift_lamports > 0;

CREATE FUNCTION gift_left_lamports(payee text, payee_lamports_max bigint, day_lamports_max bigint) RETURNS bigint
  LANGUAGE sql STABLE
  BEGIN ATOMIC
    SELECT greatest(0, least(
      payee_lamports_max - coalesce(sum(a.gift_lamports) FILTER (WHERE p.recipient = payee), 0),
      day_lamports_max - coalesce(sum(a.gift_lamports), 0)
    ))::bigint
    FROM payout_attempts AS a
    JOIN payouts AS p ON p.id = a.payout_id
    WHERE a.gift_lamports > 0 AND a.created_at > clock_timestamp() - interval '1 day'
      AND a.outcome IS DISTINCT FROM 'expired';
  END;
COMMENT ON FUNCTION gift_left_lamports IS
  'What of the budgets for the network''s fees is left today for a recipient: of its own and of all together';
