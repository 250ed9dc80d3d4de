-- name: settlement_wallets
-- Every wallet that jobs were ever paid to.
SELECT DISTINCT settlement_wallet FROM job_requests;

-- name: take_strays^
-- Finalized payments that name a job and can never fund it: too little, the wrong token, too late, once too often, or
-- their request was deleted before they were matched with it.
-- Each is taken by a claim of its own, so that what goes back can pay for nothing else, and noted to go back.
WITH named AS (
  SELECT DISTINCT ON (t.signature, t.path)
    t.signature, t.path, t.mint, t.source_owner, t.destination_owner, t.amount - t.fee AS received,
    j.id AS job_id, j.client_user_id, j.client_agent_id, j.settlement_user_id, j.price_currency, j.environment,
    CASE
      WHEN EXISTS (
        SELECT FROM transactions AS c
        WHERE c.user_id = j.settlement_user_id AND c.nonce = j.nonce
          AND c.status IN ('confirmed', 'finalized', 'reversed')
      ) THEN 'duplicate'
      WHEN paid_at(t.block_time, t.notified_at, t.recorded_at) > j.fund_until THEN 'late'
      WHEN NOT (t.mint = j.price_mint OR (j.price_mint = :native_sol AND t.mint = :wrapped_sol)) THEN 'wrong_token'
      WHEN t.amount - t.fee < j.price_amount THEN 'short'
      WHEN NOT EXISTS (SELECT FROM nonces AS n WHERE n.nonce = j.nonce) THEN 'closed'
    END AS reason
  FROM unnest(:wallets::text[]) AS w (wallet)
  JOIN transfers AS t ON t.destination_owner = w.wallet
  CROSS JOIN LATERAL (
    SELECT j.* FROM job_requests AS j WHERE j.reference = ANY(t.reference_keys)
    UNION ALL
    SELECT j.* FROM job_requests AS j WHERE j.nonce = ANY(t.memos)
  ) AS j
  WHERE t.slot >= :from_slot::bigint
    AND (t.reference_keys <> '{}' OR t.memos <> '{}')
    AND t.finality = 'finalized'
    AND t.kind IN ('transfer', 'transferChecked', 'transferCheckedWithFee', 'nativeTransfer')
    AND t.amount > t.fee
    AND t.source_owner IS NOT NULL AND t.source_owner <> t.destination_owner
    AND j.settlement_wallet = t.destination_owner
    AND NOT EXISTS (
      SELECT FROM transactions AS c
      WHERE c.signature = t.signature AND c.path = t.path AND c.status IN ('confirmed', 'finalized', 'reversed')
    )
  ORDER BY t.signature, t.path, j.created_at
),
taken AS (
  INSERT INTO transactions (
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received, resource,
    environment, status, honoured_at, settled_at
  )
  SELECT
    -- Nobody can guess this nonce and use it up.
    settlement_user_id, 'refund ' || gen_random_uuid(), signature, path, source_owner, destination_owner, mint,
    price_currency, received, received, received, 'marketplace refund', environment, 'finalized', clock_timestamp(),
    clock_timestamp()
  FROM named
  WHERE reason IS NOT NULL
  LIMIT :limit
  ON CONFLICT DO NOTHING
  RETURNING id, signature, path
),
noted AS (
  INSERT INTO job_fundings (claim_id, job_id, escrowed, rest, rest_reason)
  SELECT c.id, s.job_id, 0, s.received, s.reason
  FROM taken AS c
  JOIN named AS s ON s.signature = c.signature AND s.path = c.path
  RETURNING claim_id, job_id, rest, rest_reason
),
told AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.not_funded', f.job_id::text, j.client_user_id, j.client_agent_id,
    jsonb_build_object('claim', f.claim_id, 'escrowed', '0', 'rest', f.rest::text, 'reason', f.rest_reason)
  FROM noted AS f
  JOIN job_requests AS j ON j.id = f.job_id
)
SELECT count(*)::int AS taken FROM noted;

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
told AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'payout.queued', m.id::text, j.client_user_id, j.client_agent_id,
    jsonb_build_object('job', m.job_id, 'kind', m.kind, 'reason', m.reason, 'recipient', m.recipient, 'mint', m.mint,
      'amount', m.amount::text)
  FROM made AS m
  JOIN job_requests AS j ON j.id = m.job_id
)
SELECT id FROM made;

-- name: settle_payouts
-- Payouts that the ledger shows finalized are settled, and with them, in the same moment, the escrow, the earnings
-- and the ratings of their jobs.
WITH seen AS (
  SELECT DISTINCT ON (p.id) p.id, p.job_id, p.part, p.kind, p.amount, t.signature, t.path, t.fee
  FROM payouts AS p
  JOIN transfers AS t
    ON t.reference_keys @> ARRAY[p.reference::text] AND t.reference_keys <> '{}'
    AND t.finality = 'finalized'
    AND t.source_owner = p.wallet AND t.destination_owner = p.recipient AND t.mint = p.mint
    AND t.amount - t.fee = p.amount
  WHERE p.status <> 'settled'
  ORDER BY p.id, t.slot, t.signature, t.path
),
held AS (
  SELECT s.* FROM seen AS s JOIN payouts AS p ON p.id = s.id WHERE p.status <> 'settled' FOR UPDATE OF p SKIP LOCKED
),
settled AS (
  UPDATE payouts AS p
  SET status = 'settled', settled_signature = h.signature, settled_path = h.path, token_fee = h.fee,
    settled_at = clock_timestamp(), waiting_reason = NULL
  FROM held AS h
  WHERE p.id = h.id AND p.status <> 'settled'
  RETURNING p.id, p.job_id, p.part, p.kind, p.amount, p.recipient, p.mint, p.settled_signature
),
ended AS (
  UPDATE payout_attempts AS a
  SET ended_at = clock_timestamp(), outcome = CASE WHEN a.signature = s.settled_signature OR a.signature IS NULL
    THEN 'settled' ELSE 'expired' END
  FROM settled AS s
  WHERE a.payout_id = s.id AND a.ended_at IS NULL
),
jobs AS (
  UPDATE job_requests AS j
  SET
    escrow_status = CASE s.kind WHEN 'release' THEN 'released'::escrow_status ELSE 'refunded' END,
    settled_at = clock_timestamp(),
    updated_at = clock_timestamp()
  FROM settled AS s
  WHERE j.id = s.job_id AND s.part = 'escrow'
  RETURNING j.id, j.service_id, s.kind, s.amount, j.accepted_at, j.completed_at
),
rated AS (
  UPDATE ratings AS r SET counted_at = clock_timestamp()
  FROM jobs AS j
  WHERE r.job_id = j.id AND j.kind = 'release' AND r.counted_at IS NULL
  RETURNING r.service_id, r.score
),
changes AS (
  SELECT
    service_id,
    count(*) FILTER (WHERE accepted_at IS NOT NULL)::int AS jobs,
    count(*) FILTER (WHERE kind = 'release')::int AS successes,
    coalesce(sum(amount) FILTER (WHERE kind = 'release'), 0) AS earned,
    coalesce(
      sum(extract(epoch FROM completed_at - accepted_at)) FILTER (WHERE kind = 'release'), 0
    )::double precision AS seconds
  FROM jobs
  GROUP BY service_id
),
services AS (
  UPDATE agent_services AS a
  SET
    total_jobs = a.total_jobs + c.jobs,
    successful_jobs = a.successful_jobs + c.successes,
    total_earnings = a.total_earnings + c.earned,
    response_seconds = a.response_seconds + c.seconds,
    rating_sum = a.rating_sum + coalesce((SELECT sum(score) FROM rated AS r WHERE r.service_id = a.id), 0),
    rating_count = a.rating_count + (SELECT count(*) FROM rated AS r WHERE r.service_id = a.id),
    updated_at = clock_timestamp()
  FROM changes AS c
  WHERE a.id = c.service_id
),
told AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'payout.settled', s.id::text, j.client_user_id, j.client_agent_id,
    jsonb_build_object('job', s.job_id, 'kind', s.kind, 'recipient', s.recipient, 'mint', s.mint,
      'amount', s.amount::text, 'signature', s.settled_signature)
  FROM settled AS s
  JOIN job_requests AS j ON j.id = s.job_id
)
SELECT id, kind FROM settled;
