-- name: expire_requests$
-- Payment requests whose time is over without a payment.
WITH moved AS (
  UPDATE nonces AS n
  SET expired_at = clock_timestamp()
  FROM (
    SELECT nonce FROM nonces AS o
    WHERE o.expired_at IS NULL AND o.expires_at < clock_timestamp()
      AND NOT EXISTS (
        SELECT FROM transactions AS c
        WHERE c.user_id = o.user_id AND c.nonce = o.nonce
          AND (c.status = 'pending' OR claim_holds_transfer(c.status))
      )
    ORDER BY o.expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
  ) AS due
  WHERE n.nonce = due.nonce
  RETURNING n.nonce, n.user_id
),
logged AS (
  INSERT INTO events (type, subject, user_id)
  SELECT 'request.expired', nonce, user_id FROM moved
)
SELECT count(*)::int FROM moved;

-- name: revoke_due_keys$
-- Keys whose time to live on after a rotation is over.
WITH moved AS (
  UPDATE api_keys SET revoked = true
  WHERE NOT revoked AND revoked_at <= clock_timestamp()
  RETURNING key_prefix
)
SELECT count(*)::int FROM moved;

-- name: prune_answers$
-- Answers kept for repeated requests, after a day. That their keys were used for a request is known for longer.
WITH emptied AS (
  UPDATE idempotent_answers SET status = NULL, headers = NULL, body = NULL
  WHERE (caller, idempotency_key) IN (
    SELECT caller, idempotency_key FROM idempotent_answers
    WHERE created_at < clock_timestamp() - interval '24 hours' AND status IS NOT NULL
      AND created_at >= clock_timestamp() - make_interval(secs => :keep_seconds)
    LIMIT :limit
  )
  RETURNING 1
),
gone AS (
  DELETE FROM idempotent_answers
  WHERE (caller, idempotency_key) IN (
    SELECT caller, idempotency_key FROM idempotent_answers
    WHERE created_at < clock_timestamp() - interval '24 hours'
      AND created_at < clock_timestamp() - make_interval(secs => :keep_seconds)
    LIMIT :limit
  )
  RETURNING 1
)
SELECT ((SELECT count(*) FROM emptied) + (SELECT count(*) FROM gone))::int;

-- name: prune_requests$
-- Payment requests that expired long ago and were never paid, claimed or ordered for. One that a payment names stays:
-- that payment is to be nobody else's.
WITH gone AS (
  DELETE FROM nonces
  WHERE nonce IN (
    SELECT n.nonce FROM nonces AS n
    WHERE n.expired_at < clock_timestamp() - make_interval(secs => :keep_seconds)
      AND NOT EXISTS (SELECT FROM transactions AS c WHERE c.user_id = n.user_id AND c.nonce = n.nonce)
      AND NOT EXISTS (SELECT FROM job_requests AS j WHERE j.nonce = n.nonce)
      AND NOT EXISTS (
        SELECT FROM transfers AS t WHERE t.reference_keys <> '{}' AND t.reference_keys @> ARRAY[n.reference::text]
      )
      AND NOT EXISTS (SELECT FROM transfers AS t WHERE t.memos <> '{}' AND t.memos @> ARRAY[n.nonce])
    LIMIT :limit
  )
  RETURNING 1
)
SELECT count(*)::int FROM gone;

-- name: prune_signs_of_life$
-- Processes that have not been heard of for a day.
WITH gone AS (DELETE FROM heartbeats WHERE at < clock_timestamp() - interval '1 day' RETURNING 1)
SELECT count(*)::int FROM gone;

-- name: prune_finished_work$
-- Requests to the indexers that were worked off long ago.
WITH gone AS (
  DELETE FROM index_requests WHERE finished_at < clock_timestamp() - make_interval(secs => :keep_seconds) RETURNING 1
),
gone_too AS (
  DELETE FROM backfill_requests WHERE finished_at < clock_timestamp() - make_interval(secs => :keep_seconds) RETURNING 1
),
-- The newest reports stay, however old.
old_reports AS (
  DELETE FROM reconciliation_runs
  WHERE finished_at < clock_timestamp() - make_interval(secs => :keep_seconds)
    AND id NOT IN (SELECT id FROM reconciliation_runs ORDER BY created_at DESC LIMIT 10)
  RETURNING 1
)
SELECT
  ((SELECT count(*) FROM gone) + (SELECT count(*) FROM gone_too) + (SELECT count(*) FROM old_reports))::int;
