"""Everything that a database holds, by name and definition, for comparing before with after."""

from runtime.database import open_connection

_OBJECTS = """
WITH ours AS (
  SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
)
SELECT 'schema' AS kind, nspname::text AS name, '' AS definition FROM pg_namespace WHERE oid IN (SELECT oid FROM ours)
UNION ALL
SELECT 'relation ' || relkind::text, relname,
  coalesce(CASE WHEN relkind = 'v' THEN pg_get_viewdef(oid) ELSE pg_get_indexdef(oid) END, '')
FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull::text
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace IN (SELECT oid FROM ours) AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'type', typname, typtype::text FROM pg_type WHERE typnamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'function', proname, pg_get_functiondef(oid)
FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours) AND prokind IN ('f', 'p')
UNION ALL
SELECT 'comment on function', proname, obj_description(oid, 'pg_proc')
FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours) AND obj_description(oid, 'pg_proc') IS NOT NULL
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'extension', extname, extversion FROM pg_extension
UNION ALL
SELECT 'setting', array_to_string(setconfig, ','), '' FROM pg_db_role_setting
ORDER BY 1, 2, 3
"""


async def catalog(dsn):
    """The objects of the database at `dsn` as (kind, name, definition)."""
    async with open_connection(dsn) as connection:
        return [tuple(row) for row in await connection.fetch(_OBJECTS)]
