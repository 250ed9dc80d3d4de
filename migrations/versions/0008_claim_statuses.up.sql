-- What the statuses of claims and payouts, and the kinds of transfers, have in common, said once. The planner replaces
-- each call by its list, so that the partial indexes on such lists serve as before.

CREATE FUNCTION claim_holds_transfer(status claim_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('confirmed', 'finalized', 'reversed');
COMMENT ON FUNCTION claim_holds_transfer IS 'True for a claim that has its transfer and has used up its nonce';

CREATE FUNCTION claim_is_paid(status claim_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('confirmed', 'finalized');
COMMENT ON FUNCTION claim_is_paid IS 'True for a claim whose transfer stands: it counts as revenue';

CREATE FUNCTION claim_may_move(status claim_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('confirmed', 'reversed');
COMMENT ON FUNCTION claim_may_move IS 'True for a claim that moves with its transfer: it has one that is not final';

CREATE FUNCTION payout_is_open(status payout_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status <> 'settled';
COMMENT ON FUNCTION payout_is_open IS 'True for a payout that has not reached its recipient, finalized';

CREATE FUNCTION kind_is_payment(kind text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN kind IN ('transfer', 'transferChecked', 'transferCheckedWithFee', 'nativeTransfer');
COMMENT ON FUNCTION kind_is_payment IS 'True for a movement from one account to another, which is what pays';
