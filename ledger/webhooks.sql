-- name: add_webhook^
-- Register an address, unless its user has as many as one may have.
WITH added AS (
  INSERT INTO webhooks (id, user_id, environment, url, types, description)
  SELECT :id::uuid, :user_id, :environment, :url, :types::text[], :description
  WHERE (SELECT count(*) FROM webhooks WHERE user_id = :user_id) < :webhooks_max::int
  RETURNING id, user_id, environment, url, types, description, status, disabled_reason, failing_since, created_at
),
signed AS (
  INSERT INTO webhook_secrets (webhook_id, secret, signing_seed, public_key, sealed_by)
  SELECT id, :secret, :signing_seed, :public_key, :sealed_by::text FROM added
)
SELECT a.*, :public_key::bytea AS public_key FROM added AS a;

-- name: webhooks_of
-- The addresses of a user, or of everybody, oldest first.
SELECT w.id, w.user_id, w.environment, w.url, w.types, w.description, w.status, w.disabled_reason, w.failing_since,
  w.created_at, s.public_key
FROM webhooks AS w
JOIN webhook_secrets AS s ON s.webhook_id = w.id AND s.valid_until IS NULL
WHERE (:user_id::text IS NULL OR w.user_id = :user_id) AND (:id::uuid IS NULL OR w.id = :id)
ORDER BY w.created_at, w.id;

-- name: change_webhook^
-- Change what is said about an address; null leaves it as it is. One that is switched on again has never failed.
UPDATE webhooks
SET
  url = coalesce(:url::text, url),
  types = CASE WHEN :sets_types::boolean THEN :types::text[] ELSE types END,
  description = coalesce(:description::text, description),
  status = coalesce(:status::text, status),
  disabled_reason = CASE WHEN :status::text = 'active' THEN NULL
    WHEN :status::text = 'disabled' AND status = 'active' THEN 'asked' ELSE disabled_reason END,
  failing_since = CASE WHEN :status::text = 'active' OR :url::text IS NOT NULL THEN NULL ELSE failing_since END,
  updated_at = clock_timestamp()
WHERE id = :id
RETURNING id;

-- name: remove_webhook^
-- Forget an address and all its deliveries.
DELETE FROM webhooks WHERE id = :id RETURNING id;

-- name: retire_webhook_secret$
-- Let the newest secret of an address end in a while; answers when.
UPDATE webhook_secrets SET valid_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE webhook_id = :webhook_id AND valid_until IS NULL
RETURNING valid_until;

-- name: signing_keys_in_use$
-- By how many secrets the deliveries to an address are signed.
SELECT count(*)::int FROM webhook_secrets
WHERE webhook_id = :webhook_id AND (valid_until IS NULL OR valid_until > clock_timestamp());

-- name: add_webhook_secret!
-- Sign with another secret from now on.
INSERT INTO webhook_secrets (webhook_id, secret, signing_seed, public_key, sealed_by)
VALUES (:webhook_id, :secret, :signing_seed, :public_key, :sealed_by);

-- name: keys_sealed_otherwise
-- What webhooks are signed with and is not sealed by the newest key, if it can be opened.
SELECT webhook_id, secret, signing_seed, public_key, sealed_by
FROM webhook_secrets
WHERE sealed_by IS NULL OR (sealed_by <> :newest AND sealed_by = ANY(:known::text[]))
LIMIT :limit::int;

-- name: reseal_keys$
-- Store keys sealed anew where they are still what was opened.
WITH sealed AS (
  UPDATE webhook_secrets AS s
  SET secret = n.secret, signing_seed = n.signing_seed, sealed_by = n.sealed_by
  FROM unnest(
    :webhook_ids::uuid[], :public_keys::bytea[], :secrets_before::bytea[], :secrets::bytea[], :signing_seeds::bytea[],
    :sealed_bys::text[]
  ) AS n (webhook_id, public_key, secret_before, secret, signing_seed, sealed_by)
  WHERE s.webhook_id = n.webhook_id AND s.public_key = n.public_key AND s.secret = n.secret_before
  RETURNING 1
)
SELECT count(*)::int FROM sealed;

-- name: seals
-- By which keys what webhooks are signed with is sealed.
SELECT sealed_by, count(*)::int AS keys FROM webhook_secrets GROUP BY sealed_by ORDER BY sealed_by NULLS FIRST;

-- name: log_webhook_test^
-- Have a test sent to an address.
INSERT INTO events (type, subject, user_id, data)
SELECT 'webhook.test', id::text, user_id,
  jsonb_build_object('webhookId', id, 'reason', NULL, 'environment', environment)
FROM webhooks
WHERE id = :id AND status = 'active'
RETURNING id;

-- name: add_deliveries!
-- What was published now is to be sent to the addresses of its users that want it.
INSERT INTO webhook_deliveries (webhook_id, feed_id)
SELECT w.id, f.id
FROM feed AS f
JOIN webhooks AS w ON w.user_id = f.user_id AND w.environment = f.environment AND w.status = 'active'
  AND CASE f.type WHEN 'webhook.test' THEN w.id::text = f.body::jsonb -> 'data' ->> 'webhookId'
    ELSE w.types IS NULL OR f.type = ANY(w.types) END
WHERE f.id = ANY(:feed_ids::bigint[])
ON CONFLICT DO NOTHING;

-- name: retry_deliveries$
-- Send entries of the feed to an address, once more or for the first time, from one to another.
WITH again AS (
  INSERT INTO webhook_deliveries AS d (webhook_id, feed_id)
  SELECT w.id, f.id
  FROM webhooks AS w
  JOIN feed AS f ON f.user_id = w.user_id AND f.environment = w.environment
    AND f.id BETWEEN :from_number::bigint AND :to_number::bigint
    AND (f.type <> 'webhook.test' OR EXISTS (
      SELECT FROM webhook_deliveries AS o WHERE o.webhook_id = w.id AND o.feed_id = f.id
    ))
    AND (w.types IS NULL OR f.type = ANY(w.types) OR EXISTS (
      SELECT FROM webhook_deliveries AS o WHERE o.webhook_id = w.id AND o.feed_id = f.id
    ))
  WHERE w.id = :webhook_id
  ORDER BY f.id
  LIMIT :limit::int
  ON CONFLICT (webhook_id, feed_id) DO UPDATE SET
    status = 'pending', tries = 0, created_at = clock_timestamp(), next_try_at = clock_timestamp(), error = NULL
  RETURNING feed_id
)
SELECT count(*)::int FROM again, (SELECT pg_notify('feed', '')) AS woken;

-- name: deliveries_page
-- The deliveries to an address, newest first, before a place.
SELECT d.feed_id, f.type, d.status, d.tries, d.created_at, d.next_try_at, d.answered_at, d.answer_status, d.answer_start,
  d.answer_ms, d.error
FROM webhook_deliveries AS d
JOIN feed AS f ON f.id = d.feed_id
WHERE d.webhook_id = :webhook_id
  AND (:status::text IS NULL OR d.status = :status)
  AND (:before::bigint IS NULL OR d.feed_id < :before)
ORDER BY d.feed_id DESC
LIMIT :limit::int;

-- name: take_deliveries
-- Deliveries that are due, for whoever sends them until `lease_seconds` are over: one of each address after the other,
-- and of each no more than may be under way at once: less for those that fail, more for those that answer at once.
WITH active AS (
  SELECT w.id, CASE WHEN w.failing_since IS NOT NULL THEN least(:per_webhook_max::int, :per_failing_max::int)
    WHEN w.id = ANY(:quick_ids::uuid[]) THEN :per_quick_max::int
    ELSE :per_webhook_max::int END - coalesce(b.under_way, 0) AS free
  FROM webhooks AS w
  LEFT JOIN unnest(:busy_ids::uuid[], :busy_counts::int[]) AS b (id, under_way) ON b.id = w.id
  WHERE w.status = 'active'
    AND NOT EXISTS (
      SELECT FROM webhook_secrets AS s
      WHERE s.webhook_id = w.id AND s.valid_until IS NULL
        AND s.sealed_by IS NOT NULL AND s.sealed_by <> ALL(:seals_known::text[])
    )
),
due AS (
  SELECT d.webhook_id, d.feed_id, d.next_try_at
  FROM active AS a
  CROSS JOIN LATERAL (
    SELECT webhook_id, feed_id, next_try_at
    FROM webhook_deliveries
    WHERE webhook_id = a.id AND status = 'pending' AND next_try_at <= clock_timestamp()
    ORDER BY next_try_at, feed_id
    LIMIT greatest(a.free, 0)
    FOR UPDATE SKIP LOCKED
  ) AS d
),
taken AS (
  SELECT webhook_id, feed_id
  FROM (
    SELECT *, row_number() OVER (PARTITION BY webhook_id ORDER BY next_try_at, feed_id) AS turn FROM due
  ) AS in_turn
  ORDER BY turn, next_try_at
  LIMIT :limit::int
),
leased AS (
  UPDATE webhook_deliveries AS d
  SET tries = d.tries + 1, next_try_at = clock_timestamp() + make_interval(secs => :lease_seconds)
  FROM taken AS t
  WHERE d.webhook_id = t.webhook_id AND d.feed_id = t.feed_id
  RETURNING d.webhook_id, d.feed_id, d.tries, d.created_at
)
SELECT l.webhook_id, l.feed_id, l.tries, extract(epoch FROM clock_timestamp() - l.created_at)::float8 AS age_seconds,
  w.url, f.body, s.secrets, s.signing_seeds, s.public_keys, s.sealed_bys
FROM leased AS l
CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
JOIN webhooks AS w ON w.id = l.webhook_id
JOIN feed AS f ON f.id = l.feed_id
CROSS JOIN LATERAL (
  SELECT array_agg(secret ORDER BY made_at DESC) AS secrets,
    array_agg(signing_seed ORDER BY made_at DESC) AS signing_seeds,
    array_agg(public_key ORDER BY made_at DESC) AS public_keys, array_agg(sealed_by ORDER BY made_at DESC) AS sealed_bys
  FROM webhook_secrets
  WHERE webhook_id = l.webhook_id AND (valid_until IS NULL OR valid_until > clock_timestamp())
    AND (sealed_by IS NULL OR sealed_by = ANY(:seals_known::text[]))
) AS s
ORDER BY l.feed_id;

-- name: end_tries!
-- What became of tries: delivered, to be tried again after a pause, or given up.
UPDATE webhook_deliveries AS d
SET status = t.status, next_try_at = clock_timestamp() + make_interval(secs => t.pause_seconds),
  answered_at = clock_timestamp(), answer_status = t.answer_status, answer_start = t.answer_start,
  answer_ms = t.answer_ms, error = t.error
FROM unnest(
  :webhook_ids::uuid[], :feed_ids::bigint[], :statuses::text[], :pauses_seconds::float8[], :answer_statuses::int[],
  :answer_starts::text[], :answer_mss::int[], :errors::text[]
) AS t (webhook_id, feed_id, status, pause_seconds, answer_status, answer_start, answer_ms, error)
WHERE d.webhook_id = t.webhook_id AND d.feed_id = t.feed_id
  -- Not `=`: the index of what is due would look as good as the key, and be read for each row to its end.
  AND d.status IS NOT DISTINCT FROM 'pending';

-- name: note_webhook_health!
-- These addresses have answered well, and these have not: remember since when.
UPDATE webhooks AS w
SET failing_since = CASE WHEN w.id = ANY(:healthy_ids::uuid[]) THEN NULL ELSE clock_timestamp() END
WHERE (w.id = ANY(:healthy_ids::uuid[]) AND w.failing_since IS NOT NULL)
  OR (w.id = ANY(:failing_ids::uuid[]) AND w.failing_since IS NULL AND NOT w.id = ANY(:healthy_ids::uuid[]));

-- name: disable_webhooks$
-- Switch off the addresses that are gone, and those that have failed for too long. An event says so.
WITH gone AS (
  SELECT * FROM unnest(:gone_ids::uuid[], :gone_urls::text[]) AS g (id, url)
),
moved AS (
  UPDATE webhooks
  SET status = 'disabled', updated_at = clock_timestamp(),
    disabled_reason = CASE WHEN (id, url) IN (SELECT id, url FROM gone) THEN 'gone' ELSE 'failing' END
  WHERE status = 'active'
    AND ((id, url) IN (SELECT id, url FROM gone) OR failing_since < clock_timestamp() - make_interval(secs => :failing_seconds_max))
  RETURNING id, user_id, environment, disabled_reason
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'webhook.disabled', id::text, user_id,
    jsonb_build_object('webhookId', id, 'reason', disabled_reason, 'environment', environment)
  FROM moved
)
SELECT count(*)::int FROM moved;

-- name: delivery_backlog^
-- How many deliveries are due, up to a bound, for how long the oldest has been, and how many addresses fail.
SELECT
  (
    SELECT count(*) FROM (
      SELECT FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id
      WHERE d.status = 'pending' AND w.status = 'active' LIMIT :count_max::int
    ) AS waiting
  )::int AS pending,
  (
    SELECT coalesce(max(extract(epoch FROM clock_timestamp() - d.first_at)), 0)
    FROM webhooks AS w
    CROSS JOIN LATERAL (
      SELECT min(next_try_at) AS first_at FROM webhook_deliveries
      WHERE webhook_id = w.id AND status = 'pending' AND next_try_at <= clock_timestamp()
    ) AS d
    WHERE w.status = 'active'
  )::float8 AS oldest_due_seconds,
  (SELECT count(*) FROM webhooks WHERE status = 'active' AND failing_since IS NOT NULL)::int AS failing,
  (SELECT count(*) FROM webhooks WHERE status = 'disabled' AND disabled_reason IN ('gone', 'failing'))::int AS disabled;

-- name: prune_webhook_secrets$
-- Remove secrets that sign nothing any more.
WITH gone AS (DELETE FROM webhook_secrets WHERE valid_until < clock_timestamp() RETURNING 1)
SELECT count(*)::int FROM gone;

-- name: prune_deliveries$
-- Remove deliveries that ended long ago.
WITH gone AS (
  DELETE FROM webhook_deliveries
  WHERE (webhook_id, feed_id) IN (
    SELECT webhook_id, feed_id FROM webhook_deliveries
    WHERE status <> 'pending' AND answered_at < clock_timestamp() - make_interval(secs => :keep_seconds)
    LIMIT :limit
  )
  RETURNING 1
)
SELECT count(*)::int FROM gone;
