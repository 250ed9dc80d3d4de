-- name: settlement_wallets
-- Every wallet that jobs were ever paid to.
SELECT DISTINCT settlement_wallet FROM job_requests;

-- name: newest_slot$
-- The newest slot from which anything is recorded.
SELECT coalesce(max(slot), 0) FROM transfers WHERE destination_owner = ANY(:wallets::text[]);

-- name: due_payouts
-- Money that is to leave and has no payout yet: rests at once, escrow when its job has ended.
SELECT f.claim_id, 'rest' AS part
FROM job_fundings AS f
WHERE f.rest > 0 AND NOT EXISTS (SELECT FROM payouts AS p WHERE p.claim_id = f.claim_id AND p.part = 'rest')
UNION ALL
SELECT f.claim_id, 'escrow'
FROM job_requests AS j
JOIN job_fundings AS f ON f.job_id = j.id AND f.escrowed > 0
WHERE escrow_is_held(j.escrow_status) AND job_has_ended(j.status)
  AND NOT EXISTS (SELECT FROM payouts AS p WHERE p.claim_id = f.claim_id AND p.part = 'escrow')
LIMIT :limit;

-- name: add_payouts
-- Make payouts, each with its fresh reference. A part of a payment has one payout, whoever asks.
WITH wanted AS (
  SELECT * FROM unnest(:claim_ids::uuid[], :parts::text[], :references::text[]) AS w (claim_id, part, reference)
),
made AS (
  INSERT INTO payouts (job_id, claim_id, part, kind, reason, wallet, recipient, mint, amount, reference)
  SELECT
    j.id,
    f.claim_id,
    w.part,
    CASE WHEN w.part = 'escrow' AND j.status = 'approved' THEN 'release' ELSE 'refund' END,
    CASE WHEN w.part = 'escrow' THEN j.status::text ELSE f.rest_reason END,
    c.recipient,
    CASE WHEN w.part = 'escrow' AND j.status = 'approved' THEN j.payout_address ELSE coalesce(t.source_owner, c.payer) END,
    c.mint,
    CASE WHEN w.part = 'escrow' THEN f.escrowed ELSE f.rest END,
    w.reference
  FROM wanted AS w
  JOIN job_fundings AS f ON f.claim_id = w.claim_id
  JOIN transactions AS c ON c.id = f.claim_id
  JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
  JOIN job_requests AS j ON j.id = f.job_id
  WHERE w.part = 'rest' OR job_has_ended(j.status)
  ON CONFLICT (claim_id, part) DO NOTHING
  RETURNING id, job_id, kind, reason, recipient, mint, amount
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'payout.queued', m.id::text, j.client_user_id, j.client_agent_id,
    jsonb_build_object('job', m.job_id, 'kind', m.kind, 'reason', m.reason, 'recipient', m.recipient, 'mint', m.mint,
      'amount', m.amount::text)
  FROM made AS m
  JOIN job_requests AS j ON j.id = m.job_id
)
SELECT id FROM made;
