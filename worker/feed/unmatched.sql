-- name: log_unmatched^
-- Log the payments of which nobody has claimed anything long after they became final; each is looked at once.
--
-- By the events that say so, which have an index by time. They are looked at long after they were written, so whatever
-- was to be committed has been.
WITH place AS (
  SELECT matched_until FROM feed_position FOR UPDATE SKIP LOCKED
),
batch AS (
  SELECT e.at, e.subject, e.data ->> 'path' AS path
  FROM place AS p
  CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE type = 'transfer.finalized' AND at > p.matched_until
      AND at < clock_timestamp() - make_interval(secs => :after_seconds)
    ORDER BY at
    LIMIT :limit::int
  ) AS e
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'transfer.unmatched', t.signature, jsonb_build_object('path', t.path, 'slot', t.slot)
  FROM batch AS b
  JOIN transfers AS t ON t.signature = b.subject AND t.path = b.path
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
  UPDATE feed_position SET matched_until = (SELECT max(at) FROM batch) WHERE EXISTS (SELECT FROM batch)
)
SELECT (SELECT count(*) FROM batch)::int AS looked_at, (SELECT count(*) FROM logged)::int AS unmatched;
