-- As before.
CREATE OR REPLACE FUNCTION newest_findings(of_user text, of_kind text)
  RETURNS TABLE (id text, kind text, line jsonb, refundable numeric, refunded numeric, state text)
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT n.id, n.kind, n.line, n.refundable, r.refunded,
      CASE
        WHEN n.refundable > 0 AND r.refunded >= n.refundable THEN 'refunded'
        WHEN (
          SELECT true FROM finding_decisions AS a WHERE a.finding_id = n.id AND a.action = 'accepted'
        ) THEN 'accepted'
        ELSE 'open'
      END
    FROM (
      SELECT finding_id(l.line) AS id, k.kind, l.line, finding_refundable(l.line) AS refundable
      FROM (SELECT q.report FROM reconciliation_runs AS q WHERE q.status = 'done' ORDER BY q.finished_at DESC LIMIT 1) AS newest
      CROSS JOIN LATERAL jsonb_each(newest.report -> 'findings') AS k (kind, lines)
      CROSS JOIN LATERAL jsonb_array_elements(k.lines) AS l (line)
      WHERE (of_kind IS NULL OR k.kind = of_kind) AND (of_user IS NULL OR l.line ->> 'userId' = of_user)
    ) AS n
    CROSS JOIN LATERAL (
      SELECT
        coalesce(
          (
            SELECT sum(d.refund_amount)
            FROM finding_decisions AS d
            WHERE d.action = 'refunded' AND d.signature = n.line ->> 'signature' AND d.path = n.line ->> 'path'
          ),
          0
        ) + coalesce(
          (
            SELECT sum(p.amount)
            FROM payouts AS p
            WHERE p.claim_id = (n.line ->> 'claimId')::uuid AND p.kind = 'refund' AND p.status = 'settled'
          ),
          0
        ) AS refunded
    ) AS r;
  END;

DROP FUNCTION finding_decided(jsonb), finding_line;
