COMMENT ON FUNCTION claim_has_ended(claim_status) IS 'True for a claim that never moves again';

DELETE FROM state_transitions
WHERE machine = 'claim' AND from_status IN ('failed', 'expired') AND to_status = 'confirmed';
