-- name: indexes_present
-- Every index of our schema as the server has it: a build that failed leaves one that is not valid.
SELECT c.relname AS name, i.indisvalid AND i.indisready AND i.indislive AS valid, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public';

-- name: audit_state^
-- What the last audits of the accounts we follow found, and how long ago the oldest of them was.
SELECT
  count(*) AS accounts,
  count(*) FILTER (WHERE a.drift <> 0) AS drifting,
  coalesce(sum(a.gaps), 0)::bigint AS gaps,
  count(*) FILTER (WHERE a.audited_at IS NULL) AS unaudited,
  count(*) FILTER (WHERE a.heal_wanted_at < clock_timestamp() - interval '15 minutes') AS unhealed,
  extract(epoch FROM clock_timestamp() - min(a.audited_at))::float8 AS oldest_seconds
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
WHERE r.active;

-- name: server_clock$
-- The server's clock, in seconds since 1970.
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: is_encrypted$
-- Whether this very connection is encrypted.
SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();
