-- name: objects_in_the_way$
-- How many tables, types, functions and schemas a database holds that a restore would collide with.
SELECT
  (
    SELECT count(*) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
  ) + (
    SELECT count(*) FROM pg_type AS t
    JOIN pg_namespace AS n ON n.oid = t.typnamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%' AND t.typtype IN ('d', 'e')
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = t.oid AND d.deptype = 'e')
  ) + (
    SELECT count(*) FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
  );

-- name: own_number$
-- The number of this database, which no other of the server has.
SELECT oid FROM pg_database WHERE datname = current_database();

-- name: databases_named
-- Databases whose names begin with these letters.
SELECT datname AS name FROM pg_database WHERE starts_with(datname::text, :prefix::text) ORDER BY 1;

-- name: hold_name$
-- Show other runs that the scratch database of this name is in use, for as long as this connection lives.
SELECT true FROM pg_advisory_lock(hashtextextended(:name::text, 402));

-- name: try_to_hold_name$
-- The same, unless somebody holds it.
SELECT pg_try_advisory_lock(hashtextextended(:name::text, 402));

-- name: let_name_go$
-- Nobody is interested in it any more.
SELECT pg_advisory_unlock(hashtextextended(:name::text, 402));
