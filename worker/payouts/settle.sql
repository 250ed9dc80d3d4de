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
    AND t.amount = p.amount - p.charged
    AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
  WHERE payout_is_open(p.status)
  ORDER BY p.id, t.slot, t.signature, t.path
),
held AS (
  SELECT s.* FROM seen AS s JOIN payouts AS p ON p.id = s.id WHERE payout_is_open(p.status) FOR UPDATE OF p SKIP LOCKED
),
settled AS (
  UPDATE payouts AS p
  SET status = 'settled', settled_signature = h.signature, settled_path = h.path, token_fee = h.fee,
    settled_at = clock_timestamp(), waiting_reason = NULL
  FROM held AS h
  WHERE p.id = h.id AND payout_is_open(p.status)
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
  RETURNING j.id, j.service_id, s.kind, s.amount, j.accepted_at, j.completed_at,
    job_counts(j.environment, j.client_user_id, j.provider_user_id) AS counts
),
rated AS (
  UPDATE ratings AS r SET counted_at = clock_timestamp()
  FROM jobs AS j
  WHERE r.job_id = j.id AND j.kind = 'release' AND j.counts AND r.counted_at IS NULL
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
  WHERE counts
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
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'payout.settled', s.id::text, j.client_user_id, j.client_agent_id,
    jsonb_build_object('job', s.job_id, 'kind', s.kind, 'recipient', s.recipient, 'mint', s.mint,
      'amount', s.amount::text, 'signature', s.settled_signature)
  FROM settled AS s
  JOIN job_requests AS j ON j.id = s.job_id
)
SELECT id, kind FROM settled;
