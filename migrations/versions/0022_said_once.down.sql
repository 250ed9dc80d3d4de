DROP FUNCTION transfer_counts;
DROP FUNCTION landing_may_move;
DROP FUNCTION payout_may_land;
DROP FUNCTION payout_is_unsigned;
DROP FUNCTION claim_has_ended;
