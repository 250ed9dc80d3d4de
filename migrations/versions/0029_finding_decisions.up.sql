-- A finding is known by what it is about. One about a claim that took no transfer, or took too much, is about that claim.
CREATE FUNCTION finding_id(line jsonb) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN md5(
    jsonb_build_array(
      line ->> 'kind', line ->> 'userId', line ->> 'signature', line ->> 'path', line ->> 'nonce',
      CASE
        WHEN line ->> 'path' IS NULL OR line ->> 'kind' IN ('unpaidClaim', 'overPayment') THEN line ->> 'claimId'
      END,
      line ->> 'amountBaseUnits', line ->> 'expectedBaseUnits'
    )::text
  );
COMMENT ON FUNCTION finding_id(jsonb) IS 'The id of a finding in a stored report; another amount makes it another finding';

CREATE FUNCTION finding_refundable(line jsonb) RETURNS numeric
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE
    WHEN line ->> 'path' IS NULL OR line ->> 'payer' IS NULL OR line ->> 'kind' = 'unpaidClaim' THEN 0
    WHEN line ->> 'kind' = 'overPayment'
      THEN (line ->> 'amountBaseUnits')::numeric - (line ->> 'expectedBaseUnits')::numeric
    ELSE (line ->> 'amountBaseUnits')::numeric
  END;
COMMENT ON FUNCTION finding_refundable(jsonb) IS 'What of the transfer of a finding can be given back to its payer, in base units: of too much what is beyond, else all';

CREATE TABLE finding_decisions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  finding_id text NOT NULL CHECK (finding_id ~ '^[0-9a-f]{32}$'),
  kind text NOT NULL,
  user_id text NOT NULL,
  signature signature,
  path text COLLATE "C",
  action text NOT NULL CHECK (action IN ('accepted', 'refunded', 'noted')),
  note text CHECK (char_length(note) BETWEEN 1 AND 2000),
  refund_signature signature,
  refund_path text COLLATE "C",
  refund_amount base_units CHECK (refund_amount > 0),
  decided_by text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (action <> 'noted' OR note IS NOT NULL),
  CHECK (
    (action = 'refunded') = (refund_signature IS NOT NULL)
    AND (action = 'refunded') = (refund_path IS NOT NULL)
    AND (action = 'refunded') = (refund_amount IS NOT NULL)
  ),
  CHECK (action <> 'refunded' OR (signature IS NOT NULL AND path IS NOT NULL)),
  FOREIGN KEY (refund_signature, refund_path) REFERENCES transfers (signature, path)
);
CREATE INDEX finding_decisions_finding_id ON finding_decisions (finding_id, decided_at);
CREATE UNIQUE INDEX finding_decisions_accepted ON finding_decisions (finding_id) WHERE action = 'accepted';
CREATE UNIQUE INDEX finding_decisions_noted ON finding_decisions (finding_id, md5(note)) WHERE action = 'noted';
-- One transfer gives back once.
CREATE UNIQUE INDEX finding_decisions_refund ON finding_decisions (refund_signature, refund_path) WHERE action = 'refunded';
CREATE INDEX finding_decisions_refunded ON finding_decisions (signature, path) WHERE action = 'refunded';
COMMENT ON TABLE finding_decisions IS 'What people decided about a finding of a reconciliation: append-only';
COMMENT ON COLUMN finding_decisions.user_id IS 'The merchant whose finding it is';
COMMENT ON COLUMN finding_decisions.signature IS 'With path the transfer that it is about; what gives it back counts for every finding about it';
COMMENT ON COLUMN finding_decisions.decided_by IS 'The user whose key decided';

CREATE FUNCTION transfers_back(paid_signature text, paid_path text)
  RETURNS TABLE (signature text, path text, amount numeric, slot bigint, finality finality)
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT t.signature, t.path, t.amount, t.slot, t.finality
    FROM transfers AS p
    JOIN transfers AS t
      ON t.source_owner = p.destination_owner AND t.destination_owner = p.source_owner AND t.slot >= p.slot
      AND mint_counts_as(t.mint, p.mint)
    WHERE p.signature = paid_signature AND p.path = paid_path
      AND t.signature <> p.signature AND t.finality <> 'orphaned' AND kind_is_payment(t.kind)
      -- What pays for something, is a payout of ours, or gives something else back does not give this back.
      AND NOT EXISTS (
        SELECT FROM transactions AS c
        WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
      )
      AND NOT EXISTS (
        SELECT FROM payouts AS o WHERE o.settled_signature = t.signature AND o.settled_path = t.path
      )
      AND NOT EXISTS (
        SELECT FROM finding_decisions AS d
        WHERE d.refund_signature = t.signature AND d.refund_path = t.path AND d.action = 'refunded'
      );
  END;
COMMENT ON FUNCTION transfers_back(text, text) IS 'Transfers by which the wallet that a transfer paid may have given it back: later, of the same token, to its payer, and for nothing else that is known';

CREATE FUNCTION newest_findings(of_user text, of_kind text)
  RETURNS TABLE (id text, kind text, line jsonb, refundable numeric, refunded numeric, state text)
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT n.id, n.kind, n.line, n.refundable, r.refunded,
      CASE
        WHEN n.refundable > 0 AND r.refunded >= n.refundable THEN 'refunded'
        WHEN EXISTS (
          SELECT FROM finding_decisions AS a WHERE a.finding_id = n.id AND a.action = 'accepted'
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
COMMENT ON FUNCTION newest_findings(text, text) IS 'Findings of the newest report, of a user and a kind or of all, with what was given back and decided';

-- Pages begin with the newest report that is done.
CREATE INDEX reconciliation_runs_done ON reconciliation_runs (finished_at) WHERE status = 'done';
