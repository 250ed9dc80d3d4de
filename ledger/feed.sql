-- name: hold_feed_position^
-- How far events are published, held until the transaction ends; nothing while somebody else holds it.
SELECT event_id, feed_id FROM feed_position FOR UPDATE SKIP LOCKED;

-- name: last_event_of_batch$
-- The last of the next events that are committed.
SELECT max(id)
FROM (SELECT id FROM events WHERE id > :event_id::bigint ORDER BY id LIMIT :limit::int) AS batch;

-- name: event_writers$
-- The transactions that have begun to write events and have not ended.
--
-- A transaction locks the table before it draws an id, and lets go when what it wrote can be seen. So whoever may still
-- commit an id that was drawn by now is among them.
SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}')
FROM pg_locks
WHERE locktype = 'relation'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation = 'events'::regclass
  AND mode <> 'AccessShareLock'
  AND granted;

-- name: committed_events
-- The events up to the last of the batch that are committed and not published: the next ones, and late ones.
SELECT id, type, at, data
FROM events
WHERE id > :after::bigint AND id <= :upto::bigint
UNION ALL
SELECT e.id, e.type, e.at, e.data
FROM feed_gaps AS g
JOIN events AS e ON e.id = g.event_id
ORDER BY id;

-- name: move_feed_position!
-- These events are published. Remember which ids were passed and may still come, and forget those that never will.
WITH forgotten AS (
  DELETE FROM feed_gaps WHERE event_id = ANY(:published::bigint[]) OR NOT writers && :writers::text[]
),
passed AS (
  INSERT INTO feed_gaps (event_id, writers)
  SELECT id, :writers::text[]
  FROM generate_series(:after::bigint + 1, :upto::bigint) AS id
  WHERE cardinality(:writers::text[]) > 0 AND NOT EXISTS (
    SELECT FROM unnest(:published::bigint[]) AS p (event_id) WHERE p.event_id = id
  )
)
UPDATE feed_position SET event_id = :upto, feed_id = :feed_id;

-- name: add_feed_entries^
-- Publish entries, and wake whoever waits for them when they are committed.
WITH added AS (
  INSERT INTO feed (id, event_id, type, user_id, environment, at, body)
  SELECT *
  FROM unnest(
    :ids::bigint[], :event_ids::bigint[], :types::text[], :user_ids::text[], :environments::text[],
    :ats::timestamptz[], :bodies::text[]
  )
  RETURNING id
)
SELECT pg_notify('feed', max(id)::text) FROM added;

-- name: feed_page
-- Entries of a user, or of everybody, from a place on, oldest first.
SELECT id, type, user_id, body
FROM feed
WHERE id > :after::bigint
  AND (:user_id::text IS NULL OR user_id = :user_id)
  AND (:types::text[] IS NULL OR type = ANY(:types))
ORDER BY id
LIMIT :limit::int;

-- name: feed_ends^
-- The newest entry there ever was, and the newest that was removed for its age.
SELECT feed_id AS newest, pruned_feed_id AS pruned FROM feed_position;

-- name: anything_to_publish$
-- Whether there is anything to do for whoever publishes.
SELECT EXISTS (SELECT FROM events WHERE id > (SELECT event_id FROM feed_position)) OR EXISTS (SELECT FROM feed_gaps);

-- name: prune_feed$
-- Remove the oldest entries, after their time, and remember how far.
WITH gone AS (
  DELETE FROM feed
  WHERE id IN (
    SELECT id FROM feed
    WHERE published_at < clock_timestamp() - make_interval(secs => :keep_seconds)
    ORDER BY published_at
    LIMIT :limit
  )
  RETURNING id
),
noted AS (
  UPDATE feed_position SET pruned_feed_id = greatest(pruned_feed_id, (SELECT max(id) FROM gone))
  WHERE EXISTS (SELECT FROM gone)
)
SELECT count(*)::int FROM gone;
