-- name: count_claims^
-- How many claims there are in a range, up to `most`, counted in an index alone.
SELECT count(*)::int AS total
FROM (
  SELECT FROM transactions
  WHERE (:user_id::text IS NULL OR user_id = :user_id)
    AND (:agent_id::text IS NULL OR agent_id = :agent_id)
    AND (:status::text IS NULL OR status = :status::claim_status)
    AND (:currency::text IS NULL OR currency = :currency)
    AND (:environment::text IS NULL OR environment = :environment)
    AND (:since::timestamptz IS NULL OR "timestamp" >= :since)
    AND (:until::timestamptz IS NULL OR "timestamp" < :until)
  LIMIT :most::int
) AS counted;

-- name: claims_page
-- Claims in a range, newest first: found in an index alone, and only those that are shown are read.
SELECT
  c.id, c.user_id, c.agent_id, c.nonce, c.signature, c.path, c.payer, c.recipient, c.mint, c.currency, c.amount,
  c.received, c.resource, c.environment, c.status, c.code, c."timestamp", t.slot, k.decimals
FROM (
  SELECT id FROM transactions
  WHERE (:user_id::text IS NULL OR user_id = :user_id)
    AND (:agent_id::text IS NULL OR agent_id = :agent_id)
    AND (:status::text IS NULL OR status = :status::claim_status)
    AND (:currency::text IS NULL OR currency = :currency)
    AND (:environment::text IS NULL OR environment = :environment)
    AND (:since::timestamptz IS NULL OR "timestamp" >= :since)
    AND (:until::timestamptz IS NULL OR "timestamp" < :until)
  ORDER BY "timestamp" DESC, id DESC
  LIMIT :limit::int OFFSET :offset::int
) AS page
JOIN transactions AS c ON c.id = page.id
LEFT JOIN tokens AS k ON k.mint = c.mint
LEFT JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
ORDER BY c."timestamp" DESC, c.id DESC;

-- name: revenue_by_day
-- Honoured claims by day and token from a day on, for a merchant or, with an empty name, for all of them.
SELECT day, mint, sum(claims)::bigint AS claims, sum(received) AS received
FROM (
  SELECT day, mint, claims, received
  FROM revenue_days
  WHERE user_id = :user_id::text AND day >= :since::date
    AND (:environment::text IS NULL OR environment = :environment)
  UNION ALL
  SELECT day, mint, claims, received
  FROM claim_changes
  WHERE (:user_id::text = '' OR user_id = :user_id) AND day >= :since::date
    AND (:environment::text IS NULL OR environment = :environment)
) AS added
GROUP BY day, mint
HAVING sum(claims) <> 0;

-- name: revenue_by_step
-- Honoured claims by token and step of time from a moment on: for ranges short enough to read them.
SELECT date_bin(:step::interval, "timestamp", :since::timestamptz) AS at, mint, count(*) AS claims,
  sum(received) AS received
FROM transactions
WHERE (:user_id::text = '' OR user_id = :user_id) AND "timestamp" >= :since
  AND status IN ('confirmed', 'finalized')
  AND (:environment::text IS NULL OR environment = :environment)
GROUP BY 1, 2;

-- name: agents_by_day
-- Who spent most of some tokens from a day on.
SELECT agent_id, sum(claims)::bigint AS claims, sum(received) AS received, max(last_at) AS last_at
FROM (
  SELECT agent_id, claims, received, last_at
  FROM agent_days
  WHERE user_id = :user_id::text AND day >= :since::date AND mint = ANY(:mints::text[])
    AND (:environment::text IS NULL OR environment = :environment)
  UNION ALL
  SELECT agent_id, claims, received, last_at
  FROM claim_changes
  WHERE (:user_id::text = '' OR user_id = :user_id) AND day >= :since::date AND mint = ANY(:mints::text[])
    AND agent_id IS NOT NULL
    AND (:environment::text IS NULL OR environment = :environment)
) AS added
GROUP BY agent_id
HAVING sum(claims) > 0
ORDER BY received DESC, agent_id
LIMIT :limit::int;

-- name: agents_by_month
-- Who spent most of some tokens from a month on.
SELECT agent_id, sum(claims)::bigint AS claims, sum(received) AS received, max(last_at) AS last_at
FROM (
  SELECT agent_id, claims, received, last_at
  FROM agent_months
  WHERE user_id = :user_id::text AND month >= :since::date AND mint = ANY(:mints::text[])
    AND (:environment::text IS NULL OR environment = :environment)
  UNION ALL
  SELECT agent_id, claims, received, last_at
  FROM claim_changes
  WHERE (:user_id::text = '' OR user_id = :user_id) AND day >= :since::date AND mint = ANY(:mints::text[])
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
WHERE (:user_id::text = '' OR user_id = :user_id) AND "timestamp" >= :since AND mint = ANY(:mints::text[])
  AND status IN ('confirmed', 'finalized') AND agent_id IS NOT NULL
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

-- name: token_figures
-- Symbol and decimals of some mints.
SELECT mint, coalesce(symbol, mint::text) AS symbol, decimals FROM tokens WHERE mint = ANY(:mints::text[]);

-- name: count_events^
-- How many events there are in a range, up to `most`, counted in an index alone.
SELECT count(*)::int AS total
FROM (
  SELECT FROM events
  WHERE (:user_id::text IS NULL OR user_id = :user_id)
    AND (:agent_id::text IS NULL OR agent_id = :agent_id)
    AND (:type::text IS NULL OR type = :type)
    AND (:since::timestamptz IS NULL OR at >= :since)
    AND (:until::timestamptz IS NULL OR at < :until)
  LIMIT :most::int
) AS counted;

-- name: events_page
-- Events in a range, newest first.
SELECT e.id, e.type, e.at, e.subject, e.user_id, e.agent_id, e.data
FROM (
  SELECT id FROM events
  WHERE (:user_id::text IS NULL OR user_id = :user_id)
    AND (:agent_id::text IS NULL OR agent_id = :agent_id)
    AND (:type::text IS NULL OR type = :type)
    AND (:since::timestamptz IS NULL OR at >= :since)
    AND (:until::timestamptz IS NULL OR at < :until)
  ORDER BY at DESC, id DESC
  LIMIT :limit::int OFFSET :offset::int
) AS page
JOIN events AS e ON e.id = page.id
ORDER BY e.at DESC, e.id DESC;
