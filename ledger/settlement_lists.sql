-- name: page_of_all_settlements
-- Everybody's settlements of some statuses, newest first, from a place on: each status from its own part of an index.
--
-- A status is asked for as a range from and up to it: asked for as one, the planner walks the rows of all statuses by
-- their time.
SELECT s.id, s.created_at
FROM unnest(:statuses::text[]::settlement_status[]) AS w (status)
CROSS JOIN LATERAL (
  SELECT id, created_at
  FROM settlements
  WHERE status >= w.status
    AND (status, created_at, id) < (
      w.status, coalesce(:created_at::timestamptz, 'infinity'), coalesce(:id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
  ORDER BY status DESC, created_at DESC, id DESC
  LIMIT :limit::int
) AS s
ORDER BY s.created_at DESC, s.id DESC
LIMIT :limit::int;

-- name: page_of_settlements
-- A merchant's settlements of some statuses, newest first, from a place on.
SELECT s.id, s.created_at
FROM unnest(:statuses::text[]::settlement_status[]) AS w (status)
CROSS JOIN LATERAL (
  SELECT id, created_at
  FROM settlements
  WHERE user_id = :user_id::text AND status >= w.status
    AND (status, created_at, id) < (
      w.status, coalesce(:created_at::timestamptz, 'infinity'), coalesce(:id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
  ORDER BY status DESC, created_at DESC, id DESC
  LIMIT :limit::int
) AS s
ORDER BY s.created_at DESC, s.id DESC
LIMIT :limit::int;

-- name: terms_of_settlement^
-- What a settlement was for and what it costs.
SELECT fee_payer, memo, request_nonce, resource, lamports_reserved, lamports_spent, sent_at
FROM settlements WHERE id = :id;

-- name: budgets_of_day
-- What the fees of today's settlements have reserved: of the budget for all, and of a merchant's.
SELECT scope, lamports
FROM settlement_budgets
WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date
  AND (scope, subject) IN (('all', ''), ('merchant', :user_id::text));
