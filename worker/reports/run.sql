-- name: take_report^
-- Take a reconciliation that was asked for, or one whose worker has died at it.
UPDATE reconciliation_runs AS q
SET status = 'running', started_at = clock_timestamp()
FROM (
  SELECT id FROM reconciliation_runs
  WHERE finished_at IS NULL
    AND (:id::uuid IS NULL OR id = :id)
    AND (status = 'queued' OR started_at < clock_timestamp() - make_interval(secs => :dead_seconds))
  ORDER BY created_at
  LIMIT 1
  FOR UPDATE SKIP LOCKED
) AS due
WHERE q.id = due.id
RETURNING q.id, q.is_full;

-- name: note_progress!
-- How far a reconciliation has come.
UPDATE reconciliation_runs SET progress = :progress WHERE id = :id;

-- name: finish_report!
-- A reconciliation has ended: with its report, or with an error.
UPDATE reconciliation_runs
SET
  status = CASE WHEN :error::text IS NULL THEN 'done' ELSE 'failed' END,
  report = :report,
  error = :error,
  finished_at = clock_timestamp()
WHERE id = :id AND finished_at IS NULL;

-- name: seconds_since_report$
-- The age of the newest reconciliation, finished or not; null without one.
SELECT extract(epoch FROM clock_timestamp() - max(created_at))::double precision FROM reconciliation_runs;

-- name: seconds_since_full_report$
-- The age of the newest reconciliation from the whole ledger, finished or not; null without one.
SELECT extract(epoch FROM clock_timestamp() - max(created_at))::double precision
FROM reconciliation_runs
WHERE is_full AND status <> 'failed';
