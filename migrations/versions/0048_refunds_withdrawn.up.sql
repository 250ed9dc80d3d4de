-- A refund that was noted by mistake becomes `withdrawn`: whatever asks for what was `refunded` asks for it no more.
ALTER TABLE finding_decisions
  ADD COLUMN withdrawn_by text,
  ADD COLUMN withdrawn_at timestamptz,
  DROP CONSTRAINT finding_decisions_action_check,
  DROP CONSTRAINT finding_decisions_check1,
  ADD CONSTRAINT finding_decisions_action_check CHECK (action IN ('accepted', 'refunded', 'noted', 'withdrawn')),
  ADD CONSTRAINT finding_decisions_check1 CHECK (
    (action IN ('refunded', 'withdrawn')) = (refund_signature IS NOT NULL)
    AND (action IN ('refunded', 'withdrawn')) = (refund_path IS NOT NULL)
    AND (action IN ('refunded', 'withdrawn')) = (refund_amount IS NOT NULL)
  ),
  ADD CONSTRAINT finding_decisions_withdrawn CHECK (
    (action = 'withdrawn') = (withdrawn_by IS NOT NULL) AND (action = 'withdrawn') = (withdrawn_at IS NOT NULL)
  );
COMMENT ON TABLE finding_decisions IS
  'What people decided about a finding of a reconciliation: append-only, but that a refund can be withdrawn';
COMMENT ON COLUMN finding_decisions.withdrawn_by IS 'The user whose key withdrew the refund, which was noted by mistake';
CREATE INDEX finding_decisions_withdrawn_refund ON finding_decisions (signature, path) WHERE action = 'withdrawn';
