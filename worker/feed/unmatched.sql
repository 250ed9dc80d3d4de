-- name: next_stretch^
-- The next payments that became final long ago, and have not been looked at since: how many, and from when until when.
--
-- By the events that say so, which have an index by time. They are looked at long after they were written, so whatever
-- was to be committed has been.
SELECT p.matched_until AS from_at, max(e.at) AS until_at, count(e.at)::int AS payments
FROM feed_position AS p
LEFT JOIN LATERAL (
  SELECT at FROM events
  WHERE type = 'transfer.finalized' AND at > p.matched_until
    AND at < clock_timestamp() - make_interval(secs => :after_seconds)
  ORDER BY at
  LIMIT :limit::int
) AS e ON true
GROUP BY p.matched_until;

-- name: log_unmatched^
-- Log those of a stretch of which nobody has claimed anything; each is looked at once.
WITH place AS (
  SELECT FROM feed_position WHERE matched_until = :from_at::timestamptz FOR UPDATE SKIP LOCKED
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'transfer.unmatched', t.signature, jsonb_build_object('path', t.path, 'slot', t.slot)
  FROM place
  JOIN events AS e ON e.type = 'transfer.finalized' AND e.at > :from_at::timestamptz AND e.at <= :until_at::timestamptz
  JOIN transfers AS t ON t.signature = e.subject AND t.path = e.data ->> 'path'
  JOIN recipients AS r ON r.address = t.destination_owner
  WHERE kind_is_payment(t.kind)
    AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
    AND NOT EXISTS (
      SELECT FROM transactions AS c
      WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
    )
  RETURNING 1
),
moved AS (
  UPDATE feed_position SET matched_until = :until_at::timestamptz WHERE EXISTS (SELECT FROM place)
  RETURNING 1
)
SELECT (SELECT count(*) FROM logged)::int AS unmatched, EXISTS (SELECT FROM moved) AS has_moved;
