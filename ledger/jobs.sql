-- name: add_job^
-- Order a service at its price of this moment; its payment request is registered already.
WITH added AS (
  INSERT INTO job_requests (
    service_id, client_user_id, client_agent_id, provider_user_id, provider_agent_id, payout_address, price_amount,
    price_mint, price_currency, nonce, reference, settlement_wallet, settlement_user_id, environment, fund_until, input,
    deadline
  )
  SELECT s.id, :client_user_id, :client_agent_id, s.user_id, s.agent_id, s.payout_address, s.price_amount, s.price_mint,
    s.price_currency, n.nonce, n.reference, n.recipient, n.user_id, n.environment, n.expires_at, :input::jsonb,
    :deadline::timestamptz
  FROM agent_services AS s
  JOIN nonces AS n ON n.nonce = :nonce
  WHERE s.id = :service_id AND s.is_active AND s.price_amount = :price_amount AND s.price_mint = :price_mint
    AND s.environment = :service_environment
  -- Waits for whoever holds its price, or makes it one for tests, and looks again.
  FOR KEY SHARE OF s
  RETURNING id, client_user_id, client_agent_id, service_id, price_amount
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.pending', id::text, client_user_id, client_agent_id,
    jsonb_build_object('service', service_id, 'price', price_amount::text)
  FROM added
)
SELECT id FROM added;

-- name: job^
-- One job with its service and its funding.
SELECT j.id, j.service_id, s.name AS service_name, j.client_user_id, j.client_agent_id, j.provider_user_id,
  j.provider_agent_id, j.status, j.escrow_status, j.price_amount, j.price_mint, j.price_currency, t.decimals, j.nonce,
  j.reference, j.settlement_wallet, j.environment, j.fund_until, j.dispute_reason, j.resolution, r.score, r.feedback,
  j.deadline, j.created_at, j.accepted_at, j.escrowed_at, j.completed_at, j.ended_at, j.settled_at, j.updated_at, j.input, j.output,
  (
    SELECT c.status
    FROM transactions AS c
    WHERE c.user_id = j.settlement_user_id AND c.nonce = j.nonce
    ORDER BY claim_holds_transfer(c.status) DESC, c.status = 'pending' DESC, c."timestamp" DESC
    LIMIT 1
  ) AS claim_status,
  (
    SELECT c.signature
    FROM job_fundings AS f
    JOIN transactions AS c ON c.id = f.claim_id
    WHERE f.job_id = j.id AND f.escrowed > 0
  ) AS funding_signature
FROM job_requests AS j
JOIN agent_services AS s ON s.id = j.service_id
JOIN tokens AS t ON t.mint = j.price_mint
LEFT JOIN ratings AS r ON r.job_id = j.id
WHERE j.id = :id;

-- name: jobs
-- A page of jobs, newest first, by whatever is asked for; what a client and a provider wrote is left out.
SELECT j.id, j.service_id, s.name AS service_name, j.client_user_id, j.client_agent_id, j.provider_user_id,
  j.provider_agent_id, j.status, j.escrow_status, j.price_amount, j.price_mint, j.price_currency, t.decimals, j.nonce,
  j.reference, j.settlement_wallet, j.environment, j.fund_until, j.dispute_reason, j.resolution, r.score, r.feedback,
  j.deadline, j.created_at, j.accepted_at, j.escrowed_at, j.completed_at, j.ended_at, j.settled_at, j.updated_at,
  (
    SELECT c.status
    FROM transactions AS c
    WHERE c.user_id = j.settlement_user_id AND c.nonce = j.nonce
    ORDER BY claim_holds_transfer(c.status) DESC, c.status = 'pending' DESC, c."timestamp" DESC
    LIMIT 1
  ) AS claim_status,
  (
    SELECT c.signature
    FROM job_fundings AS f
    JOIN transactions AS c ON c.id = f.claim_id
    WHERE f.job_id = j.id AND f.escrowed > 0
  ) AS funding_signature
FROM job_requests AS j
JOIN agent_services AS s ON s.id = j.service_id
JOIN tokens AS t ON t.mint = j.price_mint
LEFT JOIN ratings AS r ON r.job_id = j.id
WHERE (:ids::uuid[] IS NULL OR j.id = ANY(:ids))
  AND (:status::text IS NULL OR j.status = :status::job_status)
  AND (:client::text IS NULL OR j.client_agent_id = :client)
  AND (:provider::text IS NULL OR j.provider_agent_id = :provider)
ORDER BY j.created_at DESC, j.id DESC
LIMIT :limit OFFSET :offset;

-- name: count_jobs$
-- How many jobs there are of what is asked for.
SELECT count(*)::int
FROM job_requests AS j
WHERE (:status::text IS NULL OR j.status = :status::job_status)
  AND (:client::text IS NULL OR j.client_agent_id = :client)
  AND (:provider::text IS NULL OR j.provider_agent_id = :provider);

-- name: recent_jobs
-- The newest jobs of a service.
SELECT id, status::text AS status, escrow_status::text AS escrow_status, created_at, completed_at
FROM job_requests WHERE service_id = :service_id
ORDER BY created_at DESC, id
LIMIT :limit;

-- name: job_movements
-- Every payment that came in for a job and every payout that left for it, oldest first.
SELECT 'in' AS way, NULL::uuid AS payout_id, c.recipient, c.signature, c.mint, c.received AS amount, coalesce(f.rest_reason, 'price') AS reason,
  'settled' AS status, f.noticed_at AS at
FROM job_fundings AS f
JOIN transactions AS c ON c.id = f.claim_id
WHERE f.job_id = :job_id
UNION ALL
SELECT p.kind, p.id, p.recipient, p.settled_signature, p.mint, p.amount, p.reason, p.status::text, coalesce(p.settled_at, p.created_at)
FROM payouts AS p
WHERE p.job_id = :job_id
ORDER BY at;

-- name: step_job^
-- Move a job from where it is believed to stand. Answers nothing where it stands elsewhere or its money does.
WITH moved AS (
  UPDATE job_requests
  SET
    status = :to::text::job_status,
    escrow_status = CASE
      WHEN :to::text = 'disputed' AND escrow_status = 'escrowed' THEN 'disputed' ELSE escrow_status
    END,
    output = CASE WHEN :to::text = 'completed' THEN :output::jsonb ELSE output END,
    dispute_reason = CASE WHEN :to::text = 'disputed' THEN :reason::text ELSE dispute_reason END,
    resolution = CASE
      WHEN status = 'disputed' THEN CASE :to::text WHEN 'approved' THEN 'release' ELSE 'refund' END ELSE resolution
    END,
    accepted_at = CASE WHEN :to::text = 'accepted' THEN clock_timestamp() ELSE accepted_at END,
    completed_at = CASE WHEN :to::text = 'completed' THEN clock_timestamp() ELSE completed_at END,
    ended_at = CASE WHEN job_has_ended(:to::text::job_status) THEN clock_timestamp() END,
    updated_at = clock_timestamp()
  WHERE id = :id::uuid
    AND status = ANY(:from_statuses::text[]::job_status[])
    AND escrow_status = ANY(:escrow_statuses::text[]::escrow_status[])
    AND (NOT :in_time::boolean OR deadline > clock_timestamp())
  RETURNING id, status, escrow_status, client_user_id, client_agent_id
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.' || status, id::text, client_user_id, client_agent_id,
    jsonb_build_object('by', :by::text, 'reason', :reason::text, 'escrowStatus', escrow_status)
  FROM moved
)
SELECT id, status, escrow_status FROM moved;

-- name: rate_job^
-- A client's rating of an approved job, once. It enters the service's rating with the release, or at once after it.
WITH rated AS (
  INSERT INTO ratings (job_id, service_id, client_user_id, score, feedback, counted_at)
  SELECT id, service_id, client_user_id, :score::smallint, :feedback::text,
    CASE
      WHEN escrow_status = 'released' AND job_counts(environment, client_user_id, provider_user_id) THEN clock_timestamp()
    END
  FROM job_requests
  WHERE id = :job_id AND status = 'approved'
  FOR UPDATE
  ON CONFLICT (job_id) DO NOTHING
  RETURNING job_id, service_id, score, counted_at
),
counted AS (
  UPDATE agent_services AS s
  SET rating_sum = s.rating_sum + r.score, rating_count = s.rating_count + 1, updated_at = clock_timestamp()
  FROM rated AS r
  WHERE s.id = r.service_id AND r.counted_at IS NOT NULL
)
SELECT job_id, score, counted_at FROM rated;

-- name: count_late_ratings!
-- A rating that was given in the very moment of its release has been overlooked there; it counts from now on.
WITH late AS (
  UPDATE ratings AS r SET counted_at = clock_timestamp()
  FROM job_requests AS j
  WHERE r.counted_at IS NULL AND j.id = r.job_id AND j.escrow_status = 'released'
    AND job_counts(j.environment, j.client_user_id, j.provider_user_id)
  RETURNING r.service_id, r.score
),
sums AS (
  SELECT service_id, sum(score)::int AS score, count(*)::int AS ratings FROM late GROUP BY service_id
)
UPDATE agent_services AS s
SET rating_sum = s.rating_sum + c.score, rating_count = s.rating_count + c.ratings, updated_at = clock_timestamp()
FROM sums AS c
WHERE s.id = c.service_id;

-- name: fund_jobs^
-- Finalized payments of jobs: what is the price is held, the rest goes back. A payment that cannot fund its job
-- any more goes back whole.
WITH ready AS (
  SELECT c.id AS claim_id, j.id AS job_id, j.price_amount, c.received,
    CASE
      WHEN NOT job_is_open(j.status) THEN 'closed'
      -- While its request exists no claim on it has other terms than the job's; but it can be deleted.
      WHEN NOT mint_counts_as(c.mint, j.price_mint) THEN 'wrong_token'
      WHEN paid_at(t.block_time, t.notified_at, t.recorded_at) > j.fund_until THEN 'late'
      WHEN c.received < least_equal_amount(j.price_amount, token.decimals) THEN 'short'
    END AS refusal
  FROM job_requests AS j
  JOIN transactions AS c
    ON c.user_id = j.settlement_user_id AND c.nonce = j.nonce AND c.recipient = j.settlement_wallet
    AND c.status = 'finalized'
  JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
  JOIN tokens AS token ON token.mint = j.price_mint
  WHERE j.escrow_status = 'pending'
    AND NOT EXISTS (SELECT FROM job_fundings AS f WHERE f.claim_id = c.id)
  LIMIT :limit
  FOR UPDATE OF j SKIP LOCKED
),
noted AS (
  INSERT INTO job_fundings (claim_id, job_id, escrowed, rest, rest_reason)
  SELECT
    claim_id,
    job_id,
    CASE WHEN refusal IS NULL THEN least(received, price_amount) ELSE 0 END,
    CASE WHEN refusal IS NULL THEN greatest(received - price_amount, 0) ELSE received END,
    coalesce(refusal, CASE WHEN received > price_amount THEN 'excess' END)
  FROM ready
  ON CONFLICT DO NOTHING
  RETURNING claim_id, job_id, escrowed, rest, rest_reason
),
moved AS (
  UPDATE job_requests AS j
  SET
    escrow_status = 'escrowed',
    escrowed_at = clock_timestamp(),
    updated_at = clock_timestamp()
  FROM noted AS f
  WHERE j.id = f.job_id AND f.escrowed > 0
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT
    CASE WHEN f.escrowed > 0 THEN 'job.escrowed' ELSE 'job.not_funded' END,
    f.job_id::text, j.client_user_id, j.client_agent_id,
    jsonb_build_object('claim', f.claim_id, 'escrowed', f.escrowed::text, 'rest', f.rest::text, 'reason', f.rest_reason)
  FROM noted AS f
  JOIN job_requests AS j ON j.id = f.job_id
)
SELECT count(*) FILTER (WHERE escrowed > 0)::int AS funded, count(*) FILTER (WHERE rest > 0)::int AS to_return
FROM noted;

-- name: approve_silent_jobs^
-- Jobs whose client neither approved nor disputed them in time are approved.
WITH moved AS (
  UPDATE job_requests AS j
  SET status = 'approved', ended_at = clock_timestamp(), updated_at = clock_timestamp()
  FROM (
    SELECT id FROM job_requests
    WHERE status = 'completed' AND escrow_status = 'escrowed'
      AND completed_at < clock_timestamp() - make_interval(secs => :review_seconds)
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
  ) AS due
  WHERE j.id = due.id AND j.status = 'completed'
  RETURNING j.id, j.client_user_id, j.client_agent_id
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.approved', id::text, client_user_id, client_agent_id, '{"by": "silence"}'::jsonb FROM moved
)
SELECT count(*)::int AS jobs FROM moved;

-- name: expire_jobs^
-- Jobs that were not funded or not done in time have expired.
WITH due AS (
  SELECT j.id
  FROM job_requests AS j
  WHERE job_is_open(j.status)
    AND (
      j.deadline < clock_timestamp()
      OR (
        j.escrow_status = 'pending'
        AND j.fund_until < clock_timestamp() - make_interval(secs => :grace_seconds)
        -- What was paid in time and is not final yet may still fund it.
        AND NOT EXISTS (
          SELECT FROM transactions AS c
          WHERE c.user_id = j.settlement_user_id AND c.nonce = j.nonce
            AND claim_holds_transfer(c.status)
        )
      )
    )
  LIMIT :limit
  FOR UPDATE OF j SKIP LOCKED
),
moved AS (
  UPDATE job_requests AS j
  SET status = 'expired', ended_at = clock_timestamp(), updated_at = clock_timestamp()
  FROM due WHERE j.id = due.id AND job_is_open(j.status)
  RETURNING j.id, j.client_user_id, j.client_agent_id, j.escrow_status
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.expired', id::text, client_user_id, client_agent_id, jsonb_build_object('escrowStatus', escrow_status)
  FROM moved
)
SELECT count(*)::int AS jobs FROM moved;
