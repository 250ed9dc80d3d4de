-- name: count_claims^
-- How many claims there are in a range, up to `count_max`, counted in an index alone.
SELECT count(*)::int AS total
FROM (
  SELECT FROM transactions
  WHERE (:user_id::text IS NULL OR user_id = :user_id)
    AND (:agent_id::text IS NULL OR agent_id = :agent_id)
    AND (:statuses::text[] IS NULL OR status = ANY(:statuses::text[]::claim_status[]))
    AND (:currency::text IS NULL OR currency = :currency)
    AND (:environment::text IS NULL OR environment = :environment)
    AND (:since::timestamptz IS NULL OR "timestamp" >= :since)
    AND (:until::timestamptz IS NULL OR "timestamp" < :until)
  LIMIT :count_max::int
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
    AND (:statuses::text[] IS NULL OR status = ANY(:statuses::text[]::claim_status[]))
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

-- name: count_events^
-- How many events there are in a range, up to `count_max`, counted in an index alone.
SELECT count(*)::int AS total
FROM (
  SELECT FROM events
  WHERE (:user_id::text IS NULL OR user_id = :user_id)
    AND (:agent_id::text IS NULL OR agent_id = :agent_id)
    AND (:type::text IS NULL OR type = :type)
    AND (:families::text[] IS NULL OR split_part(type, '.', 1) = ANY(:families))
    AND (:since::timestamptz IS NULL OR at >= :since)
    AND (:until::timestamptz IS NULL OR at < :until)
  LIMIT :count_max::int
) AS counted;

-- name: events_page
-- Events in a range, newest first.
SELECT e.id, e.type, e.at, e.subject, e.user_id, e.agent_id, e.data
FROM (
  SELECT id FROM events
  WHERE (:user_id::text IS NULL OR user_id = :user_id)
    AND (:agent_id::text IS NULL OR agent_id = :agent_id)
    AND (:type::text IS NULL OR type = :type)
    AND (:families::text[] IS NULL OR split_part(type, '.', 1) = ANY(:families))
    AND (:since::timestamptz IS NULL OR at >= :since)
    AND (:until::timestamptz IS NULL OR at < :until)
  ORDER BY at DESC, id DESC
  LIMIT :limit::int OFFSET :offset::int
) AS page
JOIN events AS e ON e.id = page.id
ORDER BY e.at DESC, e.id DESC;
