INSERT INTO state_transitions (machine, from_status, to_status) VALUES
  ('claim', 'failed', 'confirmed'),
  ('claim', 'expired', 'confirmed');

COMMENT ON FUNCTION claim_has_ended(claim_status) IS 'True for a claim that waits for nothing';
