-- What statements still spelled for themselves, said once. The planner replaces each call by what it stands for.

CREATE FUNCTION claim_has_ended(status claim_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('finalized', 'failed', 'expired');
COMMENT ON FUNCTION claim_has_ended IS 'True for a claim that never moves again';

CREATE FUNCTION payout_is_unsigned(status payout_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('queued', 'waiting', 'awaiting_signature');
COMMENT ON FUNCTION payout_is_unsigned IS 'True for a payout of which nobody can have seen signed bytes';

CREATE FUNCTION payout_may_land(status payout_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('signed', 'sent');
COMMENT ON FUNCTION payout_may_land IS 'True for a payout whose signed bytes exist, and have not been seen to land';

-- Not `= 'confirmed'`: that would invite the planner to read the whole index of confirmed rows.
CREATE FUNCTION landing_may_move(finality finality) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN finality NOT IN ('finalized', 'orphaned');
COMMENT ON FUNCTION landing_may_move IS 'True for what has landed and can still be finalized or undone';

CREATE FUNCTION transfer_counts(finality finality, awaits_witness_since timestamptz) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN finality <> 'orphaned' AND awaits_witness_since IS NULL;
COMMENT ON FUNCTION transfer_counts IS 'True for a transfer that may honour a claim: no fork has undone it, and enough nodes have seen it';
