DROP FUNCTION kind_is_payment;
DROP FUNCTION payout_is_open;
DROP FUNCTION claim_may_move;
DROP FUNCTION claim_is_paid;
DROP FUNCTION claim_holds_transfer;
