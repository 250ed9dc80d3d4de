-- name: page_of_findings
-- Findings of the newest report with what was decided about them, newest first, from a place on.
SELECT f.id, f.line, f.refundable, f.refunded, f.state
FROM newest_findings(:user_id::text, :kind::text) AS f
WHERE (:id::text IS NULL OR f.id = :id) AND (:state::text IS NULL OR f.state = :state)
  AND (:after_at::bigint IS NULL OR ((f.line ->> 'at')::bigint, f.id) < (:after_at, :after_id::text))
ORDER BY (f.line ->> 'at')::bigint DESC, f.id DESC
LIMIT :limit::int;

-- name: count_findings
-- Findings of the newest report by kind, and how many of those are open; besides, how many the report has counted in all.
SELECT k.kind, (newest.report -> 'counts' ->> k.kind)::int AS counted, coalesce(own.kept, 0) AS kept,
  coalesce(own.open, 0) AS open
FROM (
  SELECT report FROM reconciliation_runs WHERE status = 'done' ORDER BY finished_at DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL jsonb_object_keys(newest.report -> 'findings') AS k (kind)
LEFT JOIN (
  SELECT kind, count(*)::int AS kept, count(*) FILTER (WHERE state = 'open')::int AS open
  FROM newest_findings(:user_id::text, NULL)
  GROUP BY kind
) AS own ON own.kind = k.kind
ORDER BY k.kind;

-- name: decisions_of_finding
-- What was decided about a finding, oldest first; what gave its transfer back was perhaps decided about another one.
SELECT action, note, decided_by, decided_at, refund_signature, refund_amount, withdrawn_by, withdrawn_at
FROM finding_decisions
WHERE finding_id = :finding_id
  OR (action = 'refunded' AND signature = :signature::text AND path = :path::text)
  OR (action = 'withdrawn' AND signature = :signature::text AND path = :path::text)
ORDER BY decided_at, id
LIMIT :limit::int;

-- name: decide_finding$
-- Accept a finding or note something about it, once; of a finding no more than a number of decisions are kept.
WITH made AS (
  INSERT INTO finding_decisions (finding_id, kind, user_id, signature, path, action, note, decided_by)
  SELECT :finding_id, :kind, :user_id, :signature, :path, :action, :note, :decided_by
  WHERE (SELECT count(*) FROM finding_decisions WHERE finding_id = :finding_id) < :decisions_max::int
  ON CONFLICT DO NOTHING
  RETURNING finding_id, kind, user_id, signature, path, action, note, decided_by
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'finding.' || action, finding_id, user_id,
    jsonb_build_object('kind', kind, 'signature', signature, 'path', path, 'note', note, 'by', decided_by)
  FROM made
)
SELECT finding_id FROM made;

-- name: lock_settlements_of_refund!
-- Make whoever decides a payment over x402 that one of these transactions is wait for what comes next, or this for that.
-- They are locked before transfers, as everywhere.
SELECT FROM settlements
WHERE signature IN (:signature::text, :refund_signature::text)
ORDER BY id
FOR UPDATE;

-- name: lock_refund!
-- Make a claim that takes one of these transfers wait for what is noted next, and leave it; or this for the claim.
SELECT FROM transfers
WHERE signature = :signature::text AND path = :path::text OR signature = :refund_signature::text
ORDER BY signature, path
FOR NO KEY UPDATE;

-- name: refund_finding$
-- Note which final transfer gave the transfer of a finding back, once. All of it is locked by then, see `lock_refund`.
WITH given_back AS (
  SELECT signature, path, amount
  FROM transfers_back(:signature::text, :path::text)
  WHERE signature = :refund_signature::text AND finality = 'finalized'
  ORDER BY path
  LIMIT 1
),
made AS (
  INSERT INTO finding_decisions (
    finding_id, kind, user_id, signature, path, action, note, decided_by, refund_signature, refund_path, refund_amount
  )
  SELECT :finding_id, :kind, :user_id, :signature, :path, 'refunded', :note, :decided_by, g.signature, g.path, g.amount
  FROM given_back AS g
  WHERE (SELECT count(*) FROM finding_decisions WHERE finding_id = :finding_id) < :decisions_max::int
  ON CONFLICT DO NOTHING
  RETURNING finding_id, kind, user_id, signature, path, note, decided_by, refund_signature, refund_amount
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'finding.refunded', finding_id, user_id,
    jsonb_build_object(
      'kind', kind, 'signature', signature, 'path', path, 'note', note, 'by', decided_by,
      'refund', refund_signature, 'amount', refund_amount::text
    )
  FROM made
)
SELECT finding_id FROM made;

-- name: withdraw_refund^
-- Withdraw a refund that was noted by mistake, once: the payment can be claimed again. Not where a payment over x402 has
-- failed by it, be it what was given back or what gave it back, for its buyer may have paid anew. All of it is locked by
-- then, see `lock_refund`.
WITH noted AS (
  SELECT id, EXISTS (
    SELECT FROM settlements AS s
    WHERE s.signature IN (d.signature, d.refund_signature) AND s.status = 'failed' AND s.detail = :failed_by::text
  ) AS is_final
  FROM finding_decisions AS d
  WHERE d.action = 'refunded' AND d.signature = :signature::text AND d.path = :path::text
    AND d.refund_signature = :refund_signature::text
),
made AS (
  UPDATE finding_decisions AS d
  SET action = 'withdrawn', withdrawn_by = :by, withdrawn_at = clock_timestamp()
  FROM noted AS n
  WHERE d.id = n.id AND NOT n.is_final
  RETURNING d.finding_id, d.kind, d.user_id, d.signature, d.path, d.refund_signature, d.refund_amount
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'finding.refund_withdrawn', finding_id, user_id,
    jsonb_build_object(
      'kind', kind, 'signature', signature, 'path', path, 'by', :by::text, 'refund', refund_signature,
      'amount', refund_amount::text
    )
  FROM made
)
SELECT count(*)::int AS noted, coalesce(bool_or(is_final), false) AS is_final FROM noted;

-- name: transfers_back
-- Transfers that may have given a transfer back and are not noted as that, oldest first.
SELECT signature, path, amount, finality
FROM transfers_back(:signature::text, :path::text)
ORDER BY slot, signature, path
LIMIT :limit::int;

-- name: payouts_back
-- What the worker returns by itself of the payment that a claim took.
SELECT id, job_id, status::text AS status, amount, settled_signature
FROM payouts
WHERE claim_id = :claim_id AND kind = 'refund'
ORDER BY part;
