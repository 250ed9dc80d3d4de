-- name: page_of_all_jobs
-- Everybody's jobs of some statuses, newest first, from a place on: each status from its own part of an index.
--
-- A status is asked for as a range from and up to it: asked for as one, the planner walks the rows of all statuses by
-- their time.
SELECT j.id, j.created_at
FROM unnest(:statuses::text[]::job_status[]) AS w (status)
CROSS JOIN LATERAL (
  SELECT id, created_at
  FROM job_requests
  WHERE status >= w.status
    AND (status, created_at, id) < (
      w.status, coalesce(:created_at::timestamptz, 'infinity'), coalesce(:id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
  ORDER BY status DESC, created_at DESC, id DESC
  LIMIT :limit::int
) AS j
ORDER BY j.created_at DESC, j.id DESC
LIMIT :limit::int;

-- name: page_of_jobs
-- The jobs of a user, as client or provider, of some statuses, newest first, from a place on.
SELECT j.id, j.created_at
FROM unnest(:statuses::text[]::job_status[]) AS w (status)
CROSS JOIN LATERAL (
  (
    SELECT id, created_at
    FROM job_requests
    WHERE client_user_id = :user_id::text AND status >= w.status
    AND (status, created_at, id) < (
      w.status, coalesce(:created_at::timestamptz, 'infinity'), coalesce(:id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    ORDER BY status DESC, created_at DESC, id DESC
    LIMIT :limit::int
  )
  UNION
  (
    SELECT id, created_at
    FROM job_requests
    WHERE provider_user_id = :user_id::text AND status >= w.status
    AND (status, created_at, id) < (
      w.status, coalesce(:created_at::timestamptz, 'infinity'), coalesce(:id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    ORDER BY status DESC, created_at DESC, id DESC
    LIMIT :limit::int
  )
) AS j
ORDER BY j.created_at DESC, j.id DESC
LIMIT :limit::int;

-- name: page_of_payouts
-- Payouts of some statuses, newest first, from a place on, each with the wallet that is asked for instead.
SELECT p.id, p.job_id, p.kind, p.reason, p.recipient, p.mint, p.amount, p.charged, p.status::text AS status,
  p.waiting_reason, p.settled_signature, p.created_at, p.settled_at, r.to_recipient AS asked_recipient
FROM unnest(:statuses::text[]::payout_status[]) AS w (status)
CROSS JOIN LATERAL (
  SELECT *
  FROM payouts
  WHERE status >= w.status
    AND (status, created_at, id) < (
      w.status, coalesce(:created_at::timestamptz, 'infinity'), coalesce(:id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
  ORDER BY status DESC, created_at DESC, id DESC
  LIMIT :limit::int
) AS p
LEFT JOIN payout_redirects AS r ON r.payout_id = p.id AND r.ended_at IS NULL
ORDER BY p.created_at DESC, p.id DESC
LIMIT :limit::int;

-- name: payouts_of_jobs
-- The payouts of some jobs, oldest first, each with the wallet that is asked for instead.
SELECT p.id, p.job_id, p.kind, p.reason, p.recipient, p.mint, p.amount, p.charged, p.status::text AS status,
  p.waiting_reason, p.settled_signature, p.created_at, p.settled_at, r.to_recipient AS asked_recipient
FROM payouts AS p
LEFT JOIN payout_redirects AS r ON r.payout_id = p.id AND r.ended_at IS NULL
WHERE p.job_id = ANY(:job_ids::uuid[])
ORDER BY p.created_at, p.id;
