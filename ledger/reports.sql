-- name: ask_for_report^
-- Ask for a reconciliation; a worker takes it up.
INSERT INTO reconciliation_runs (requested_by, is_full) VALUES (:requested_by, :is_full) RETURNING id, created_at;

-- name: report_state^
-- How a reconciliation stands.
SELECT id, status, progress, error, created_at, started_at, finished_at FROM reconciliation_runs WHERE id = :id;

-- name: finished_report^
-- One report, when it is done.
SELECT id, report, created_at, finished_at FROM reconciliation_runs WHERE id = :id AND status = 'done';

-- name: newest_report^
-- The report that was done last.
SELECT id, report, created_at, finished_at
FROM reconciliation_runs WHERE status = 'done'
ORDER BY finished_at DESC
LIMIT 1;

-- name: newest_report_moment$
-- When the report that was done last was done.
SELECT max(finished_at) FROM reconciliation_runs WHERE status = 'done';
