-- What was decided about a finding is asked for one line of a report at a time, also while the report is made: a report
-- keeps so many findings of a kind, and those that nobody has decided about come first.
CREATE FUNCTION finding_line(
  kind text, user_id text, signature text, path text, nonce text, claim_id uuid, payer text, amount numeric, expected numeric
) RETURNS jsonb
  LANGUAGE sql STABLE PARALLEL SAFE
  RETURN jsonb_build_object(
    'kind', kind, 'userId', user_id, 'signature', signature, 'path', path, 'nonce', nonce, 'claimId', claim_id,
    'payer', payer, 'amountBaseUnits', amount::text, 'expectedBaseUnits', expected::text
  );
COMMENT ON FUNCTION finding_line IS 'Of a finding what a stored report has of it, as far as decisions depend on it';

CREATE FUNCTION finding_decided(line jsonb)
  RETURNS TABLE (id text, refundable numeric, refunded numeric, state text)
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT n.id, n.refundable, r.refunded,
      CASE
        WHEN n.refundable > 0 AND r.refunded >= n.refundable THEN 'refunded'
        -- Looked up finding by finding: asked by EXISTS, the planner reads every decision there ever was.
        WHEN (
          SELECT true FROM finding_decisions AS a WHERE a.finding_id = n.id AND a.action = 'accepted'
        ) THEN 'accepted'
        ELSE 'open'
      END
    FROM (SELECT finding_id(line) AS id, finding_refundable(line) AS refundable) AS n
    CROSS JOIN LATERAL (
      SELECT
        coalesce(
          (
            SELECT sum(d.refund_amount)
            FROM finding_decisions AS d
            WHERE d.action = 'refunded' AND d.signature = line ->> 'signature' AND d.path = line ->> 'path'
          ),
          0
        ) + coalesce(
          (
            SELECT sum(p.amount)
            FROM payouts AS p
            WHERE p.claim_id = (line ->> 'claimId')::uuid AND p.kind = 'refund' AND p.status = 'settled'
          ),
          0
        ) AS refunded
    ) AS r;
  END;
COMMENT ON FUNCTION finding_decided(jsonb) IS 'What was given back of a finding in a report, and what was decided about it';

CREATE OR REPLACE FUNCTION newest_findings(of_user text, of_kind text)
  RETURNS TABLE (id text, kind text, line jsonb, refundable numeric, refunded numeric, state text)
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT d.id, k.kind, l.line, d.refundable, d.refunded, d.state
    FROM (SELECT q.report FROM reconciliation_runs AS q WHERE q.status = 'done' ORDER BY q.finished_at DESC LIMIT 1) AS newest
    CROSS JOIN LATERAL jsonb_each(newest.report -> 'findings') AS k (kind, lines)
    CROSS JOIN LATERAL jsonb_array_elements(k.lines) AS l (line)
    CROSS JOIN LATERAL finding_decided(l.line) AS d
    WHERE (of_kind IS NULL OR k.kind = of_kind) AND (of_user IS NULL OR l.line ->> 'userId' = of_user);
  END;
