-- name: export_snapshot$
-- What this transaction sees, by a name under which pg_dump can see the same.
SELECT pg_export_snapshot();

-- name: tables_to_count
-- Every table of ours that holds rows, by its name as SQL writes it; what belongs to an extension is not ours.
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1;
