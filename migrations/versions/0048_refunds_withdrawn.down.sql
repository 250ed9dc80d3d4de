DROP INDEX finding_decisions_withdrawn_refund;
-- What was withdrawn stays withdrawn, as a note.
UPDATE finding_decisions
SET action = 'noted', note = coalesce(note || ' ', '') || '(refund ' || refund_signature || ' withdrawn ' || id || ')',
  refund_signature = NULL, refund_path = NULL, refund_amount = NULL, withdrawn_by = NULL, withdrawn_at = NULL
WHERE action = 'withdrawn' AND char_length(coalesce(note, '')) < 1800;
DELETE FROM finding_decisions WHERE action = 'withdrawn';
ALTER TABLE finding_decisions
  DROP CONSTRAINT finding_decisions_withdrawn,
  DROP CONSTRAINT finding_decisions_action_check,
  DROP CONSTRAINT finding_decisions_check1,
  DROP COLUMN withdrawn_by,
  DROP COLUMN withdrawn_at,
  ADD CONSTRAINT finding_decisions_action_check CHECK (action IN ('accepted', 'refunded', 'noted')),
  ADD CONSTRAINT finding_decisions_check1 CHECK (
    (action = 'refunded') = (refund_signature IS NOT NULL)
    AND (action = 'refunded') = (refund_path IS NOT NULL)
    AND (action = 'refunded') = (refund_amount IS NOT NULL)
  );
COMMENT ON TABLE finding_decisions IS 'What people decided about a finding of a reconciliation: append-only';
