-- name: request_index^
-- Ask the indexers to record transactions at once; those asked for before are not asked for again. Wakes them for new ones.
WITH asked AS (
  INSERT INTO index_requests (signature, reason)
  SELECT DISTINCT s.signature, :reason::text FROM unnest(:signatures::text[]) AS s (signature)
  ON CONFLICT (signature) DO NOTHING
  RETURNING signature
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'index.requested', signature, jsonb_build_object('reason', :reason::text) FROM asked
)
SELECT count(*)::int AS asked, CASE WHEN count(*) > 0 THEN pg_notify('index_requests', '') END FROM asked;

-- name: take_index_requests
-- Take transactions to record, oldest first; one that fails is tried again later, less and less often.
UPDATE index_requests AS q
SET tries = q.tries + 1, next_try_at = clock_timestamp() + make_interval(secs => least(2 ^ q.tries, 300))
FROM (
  SELECT signature FROM index_requests
  WHERE finished_at IS NULL AND next_try_at <= clock_timestamp()
  ORDER BY next_try_at
  LIMIT :limit
  FOR UPDATE SKIP LOCKED
) AS due
WHERE q.signature = due.signature
RETURNING q.signature;

-- name: finish_index_requests!
-- These are recorded, or will never be: `error` says why.
UPDATE index_requests AS q
SET finished_at = clock_timestamp(), error = d.error
FROM unnest(:signatures::text[], :errors::text[]) AS d (signature, error)
WHERE q.signature = d.signature;

-- name: fail_index_request!
-- A transaction could not be recorded this time.
UPDATE index_requests
SET error = :error, finished_at = CASE WHEN tries >= :tries_max::int THEN clock_timestamp() END
WHERE signature = :signature;

-- name: accounts_touched
-- The followed accounts that these transactions touched.
SELECT DISTINCT b.account
FROM balance_changes AS b
JOIN token_accounts AS a ON a.address = b.account
WHERE b.signature = ANY(:signatures::text[]);

-- name: request_backfill<!
-- Ask the indexers to record a stretch of history, with its event. Wakes them. What waits for them already is not asked
-- for again.
WITH asked AS (
  INSERT INTO backfill_requests AS q (requested_by, recipient, signature, from_slot, to_slot)
  VALUES (:requested_by, :recipient, :signature, :from_slot, :to_slot)
  ON CONFLICT (recipient, signature, from_slot, to_slot) WHERE status = 'queued'
    DO UPDATE SET requested_by = q.requested_by
  RETURNING q.*, (xmax = 0) AS is_new
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'backfill.requested', id::text, jsonb_strip_nulls(jsonb_build_object('requestedBy', requested_by,
    'recipient', recipient, 'signature', signature, 'fromSlot', from_slot, 'toSlot', to_slot))
  FROM asked
  WHERE is_new
)
SELECT id, created_at, pg_notify('index_requests', '') FROM asked;

-- name: take_backfill^
-- Take the oldest backfill that nobody is at: new, or left behind by an indexer that died.
UPDATE backfill_requests AS q
SET status = 'running', started_at = coalesce(q.started_at, clock_timestamp()), alive_at = clock_timestamp()
FROM (
  SELECT id FROM backfill_requests
  WHERE finished_at IS NULL AND (alive_at IS NULL OR alive_at < clock_timestamp() - make_interval(secs => :dead_seconds))
  ORDER BY created_at
  LIMIT 1
  FOR UPDATE SKIP LOCKED
) AS due
WHERE q.id = due.id
RETURNING q.id, q.recipient, q.signature, q.from_slot, q.to_slot;

-- name: note_backfill_progress!
-- How far a backfill has come.
UPDATE backfill_requests SET progress = :progress, alive_at = clock_timestamp() WHERE id = :id;

-- name: finish_backfill!
-- A backfill has ended, well or with an error.
UPDATE backfill_requests
SET
  status = CASE WHEN :error::text IS NULL THEN 'done' ELSE 'failed' END,
  error = :error,
  progress = :progress,
  finished_at = clock_timestamp()
WHERE id = :id;

-- name: backfill^
-- How a backfill stands.
SELECT id, status, progress, error, created_at, started_at, finished_at FROM backfill_requests WHERE id = :id;

-- name: unfinished_backfill^
-- The oldest backfill of a wallet that waits for an indexer or is worked on.
SELECT id FROM backfill_requests
WHERE finished_at IS NULL AND recipient = :recipient
ORDER BY created_at
LIMIT 1;
