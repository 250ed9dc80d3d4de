-- name: find_good_key^
-- A key by its hash or its prefix, if it is good now; how long it stays good.
SELECT key_prefix, key, user_id, permissions, environment, final_only, proof_version,
  least(expires_at, revoked_at) AS valid_until
FROM api_keys
WHERE (key = :name OR key_prefix = :name)
  AND NOT revoked
  AND coalesce(least(expires_at, revoked_at) > clock_timestamp(), true);

-- name: add_key<!
-- Store a new key. With `only_first`, only where no key with these rights was ever made: lock before.
WITH added AS (
  INSERT INTO api_keys (key_prefix, key, user_id, name, environment, permissions, final_only, proof_version, expires_at)
  SELECT :key_prefix, :key, :user_id, :name, :environment, :permissions::text[], :final_only, :proof_version, :expires_at
  WHERE CASE :only_first::text
    WHEN 'no' THEN true
    WHEN 'admin' THEN NOT EXISTS (SELECT FROM api_keys WHERE 'admin' = ANY(permissions))
    ELSE NOT EXISTS (SELECT FROM api_keys)
  END
  RETURNING *
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'key.created', key_prefix, user_id, jsonb_build_object('environment', environment) FROM added
)
SELECT key_prefix, user_id, name, environment, permissions, final_only, proof_version, created_at, expires_at,
  last_used, false AS is_revoked, revoked_at, replaced_by, true AS is_good
FROM added;

-- name: lock_first_key^
-- Make whoever else makes a first key wait until this transaction ends.
SELECT pg_advisory_xact_lock(402001);

-- name: any_key_exists$
-- Whether any key was ever made.
SELECT EXISTS (SELECT FROM api_keys);

-- name: list_keys
-- The keys of a user, or of everybody, newest first, from the one after `after` on; revoked and expired ones where they
-- are asked for.
SELECT key_prefix, user_id, name, environment, permissions, final_only, proof_version, created_at, expires_at,
  last_used, revoked OR coalesce(revoked_at <= clock_timestamp(), false) AS is_revoked, revoked_at, replaced_by,
  NOT revoked AND coalesce(least(expires_at, revoked_at) > clock_timestamp(), true) AS is_good
FROM api_keys
WHERE (:user_id::text IS NULL OR user_id = :user_id)
  AND (
    :include_revoked::boolean
    OR (NOT revoked AND coalesce(least(expires_at, revoked_at) > clock_timestamp(), true))
  )
  AND (:after::text IS NULL OR created_at <= (SELECT created_at FROM api_keys WHERE key_prefix = :after))
  AND (
    :after::text IS NULL
    OR created_at < (SELECT created_at FROM api_keys WHERE key_prefix = :after)
    OR key_prefix > :after
  )
ORDER BY created_at DESC, key_prefix
LIMIT :limit::int;

-- name: hold_key^
-- One key, whoever's it is; nobody else changes it before this transaction ends.
SELECT key_prefix, user_id, name, environment, permissions, final_only, proof_version, created_at, expires_at,
  last_used, revoked OR coalesce(revoked_at <= clock_timestamp(), false) AS is_revoked, revoked_at, replaced_by,
  NOT revoked AND coalesce(least(expires_at, revoked_at) > clock_timestamp(), true) AS is_good
FROM api_keys
WHERE key_prefix = :key_prefix
FOR UPDATE;

-- name: revoke_key^
-- Revoke a key now or at a time to come, with its event, and notify every replica. One that is revoked stays revoked.
WITH revoked AS (
  UPDATE api_keys
  SET
    revoked = revoked OR :at::timestamptz <= clock_timestamp(),
    revoked_at = least(revoked_at, :at),
    replaced_by = coalesce(:replaced_by, replaced_by)
  WHERE key_prefix = :key_prefix
  RETURNING key_prefix, user_id, environment, revoked_at, replaced_by
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'key.revoked', key_prefix, user_id,
    jsonb_build_object('at', revoked_at, 'environment', environment, 'replacedBy', replaced_by,
      'revokedAtMs', floor(extract(epoch FROM revoked_at) * 1000)::bigint)
  FROM revoked
)
SELECT key_prefix, revoked_at, pg_notify('api_keys', key_prefix) FROM revoked;

-- name: note_key_use!
-- When keys were last used; a later time that is known already stays.
UPDATE api_keys AS k
SET last_used = greatest(k.last_used, u.at)
FROM unnest(:prefixes::text[], :times::timestamptz[]) AS u (prefix, at)
WHERE k.key_prefix = u.prefix;

-- name: find_key^
-- One key, whoever's it is.
SELECT key_prefix, user_id, name, environment, permissions, final_only, proof_version, created_at, expires_at,
  last_used, revoked OR coalesce(revoked_at <= clock_timestamp(), false) AS is_revoked, revoked_at, replaced_by,
  NOT revoked AND coalesce(least(expires_at, revoked_at) > clock_timestamp(), true) AS is_good
FROM api_keys
WHERE key_prefix = :key_prefix;
