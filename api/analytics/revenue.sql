-- name: revenue_by_day
-- Honoured claims by day and token from a day on, for a merchant, or for all of them, whose totals have an empty name.
SELECT day, mint, sum(claims)::bigint AS claims, sum(received) AS received
FROM (
  SELECT day, mint, claims, received
  FROM revenue_days
  WHERE user_id = coalesce(:user_id::text, '') AND day >= :since::date
    AND (:environment::text IS NULL OR environment = :environment)
  UNION ALL
  SELECT day, mint, claims, received
  FROM claim_changes
  WHERE (:user_id::text IS NULL OR user_id = :user_id) AND day >= :since::date
    AND (:environment::text IS NULL OR environment = :environment)
) AS added
GROUP BY day, mint
HAVING sum(claims) <> 0;

-- name: revenue_by_step
-- Honoured claims by token and step of time from a moment on: for ranges short enough to read them.
SELECT date_bin(:step::interval, "timestamp", :since::timestamptz) AS at, mint, count(*) AS claims,
  sum(received) AS received
FROM transactions
WHERE (:user_id::text IS NULL OR user_id = :user_id) AND "timestamp" >= :since
  AND claim_is_paid(status)
  AND (:environment::text IS NULL OR environment = :environment)
GROUP BY 1, 2;

-- name: agents_by_totals
-- Who spent most of some tokens from a day on: by totals of days or, from the first of a month on, of months.
SELECT agent_id, sum(claims)::bigint AS claims, sum(received) AS received, max(last_at) AS last_at
FROM (
  SELECT agent_id, claims, received, last_at
  FROM agent_days
  WHERE NOT :by_month::boolean AND user_id = coalesce(:user_id::text, '') AND day >= :since::date AND mint = ANY(:mints::text[])
    AND (:environment::text IS NULL OR environment = :environment)
  UNION ALL
  SELECT agent_id, claims, received, last_at
  FROM agent_months
  WHERE :by_month::boolean AND user_id = coalesce(:user_id::text, '') AND month >= :since::date AND mint = ANY(:mints::text[])
    AND (:environment::text IS NULL OR environment = :environment)
  UNION ALL
  SELECT agent_id, claims, received, last_at
  FROM claim_changes
  WHERE (:user_id::text IS NULL OR user_id = :user_id) AND day >= :since::date AND mint = ANY(:mints::text[])
    AND agent_id IS NOT NULL
    AND (:environment::text IS NULL OR environment = :environment)
) AS added
GROUP BY agent_id
HAVING sum(claims) > 0
ORDER BY received DESC, agent_id
LIMIT :limit::int;

-- name: agents_by_claim
-- Who spent most of some tokens from a moment on: for ranges short enough to read their claims.
SELECT agent_id, count(*) AS claims, sum(received) AS received, max("timestamp") AS last_at
FROM transactions
WHERE (:user_id::text IS NULL OR user_id = :user_id) AND "timestamp" >= :since AND mint = ANY(:mints::text[])
  AND claim_is_paid(status) AND agent_id IS NOT NULL
  AND (:environment::text IS NULL OR environment = :environment)
GROUP BY agent_id
ORDER BY received DESC, agent_id
LIMIT :limit::int;

-- name: agent_names
-- What agents call themselves in the marketplace: the name of the newest service of each.
SELECT DISTINCT ON (agent_id) agent_id, name
FROM agent_services
WHERE agent_id = ANY(:agent_ids::text[])
ORDER BY agent_id, created_at DESC;
