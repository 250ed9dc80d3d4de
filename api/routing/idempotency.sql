-- name: begin_answer^
-- Be the one who answers a request of this key, unless somebody has or does. One who died meanwhile is relieved, and
-- the same request is answered anew after a day; a key that was used for another request stays that request's.
INSERT INTO idempotent_answers AS a (caller, idempotency_key, request_hash)
VALUES (:caller, :key, :request_hash)
ON CONFLICT (caller, idempotency_key) DO UPDATE
SET created_at = clock_timestamp(), status = NULL, headers = NULL, body = NULL
WHERE a.request_hash = EXCLUDED.request_hash
  AND (
    a.created_at < clock_timestamp() - interval '24 hours'
    OR (a.status IS NULL AND a.created_at < clock_timestamp() - make_interval(secs => :abandoned_seconds))
  )
RETURNING created_at;

-- name: kept_answer^
-- What was answered to the first request of this key.
SELECT request_hash, status, headers, body
FROM idempotent_answers
WHERE caller = :caller AND idempotency_key = :key;

-- name: keep_answer!
-- Keep the answer for those who ask again.
UPDATE idempotent_answers
SET status = :status, headers = :headers, body = :body
WHERE caller = :caller AND idempotency_key = :key;

-- name: drop_answer!
-- The answer says to come again: whoever does is answered anew.
DELETE FROM idempotent_answers WHERE caller = :caller AND idempotency_key = :key AND status IS NULL;
