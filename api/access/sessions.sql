-- name: begin_session!
-- Sign a browser in. Sessions that have ended are cleared away, and of a key's others the oldest beyond `others_max`.
WITH cleared AS (
  DELETE FROM console_sessions
  WHERE expires_at <= clock_timestamp()
    OR token_hash IN (
      SELECT token_hash FROM console_sessions
      WHERE key_prefix = :key_prefix
      ORDER BY created_at DESC
      OFFSET :others_max::int
    )
)
INSERT INTO console_sessions (token_hash, key_prefix, expires_at)
VALUES (:token_hash, :key_prefix, clock_timestamp() + make_interval(secs => :seconds));

-- name: key_of_session$
-- The prefix of the key that a session was begun with, while it lasts; it ends as soon as the key is replaced.
SELECT s.key_prefix
FROM console_sessions AS s
LEFT JOIN api_keys AS k ON k.key_prefix = s.key_prefix
WHERE s.token_hash = :token_hash
  AND s.expires_at > clock_timestamp()
  AND k.replaced_by IS NULL;

-- name: end_session!
-- Sign a browser out.
DELETE FROM console_sessions WHERE token_hash = :token_hash;
