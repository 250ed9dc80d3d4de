-- name: anything_unfinalized$
-- Whether there is a landing whose fate is not settled: without one, no node has to be asked.
SELECT EXISTS (SELECT FROM transfers WHERE finality = 'confirmed')
  OR EXISTS (SELECT FROM balance_changes WHERE finality = 'confirmed');

-- name: unfinalized
-- Recorded landings up to a slot whose fate is not settled, oldest first; and those at slots that the chain cannot have
-- reached, for they landed elsewhere.
SELECT DISTINCT signature, slot
FROM (
  SELECT signature, slot FROM transfers
  WHERE finality = 'confirmed' AND (slot <= :slot OR slot >= :impossible_slot)
  UNION ALL
  SELECT signature, slot FROM balance_changes
  WHERE finality = 'confirmed' AND (slot <= :slot OR slot >= :impossible_slot)
) AS open
ORDER BY slot
LIMIT :limit;

-- name: witnessed$
-- As many nodes as it takes have seen these landings: they can be honoured. Wakes who waits for them.
WITH seen AS (
  UPDATE transfers AS t SET awaits_witness_since = NULL, contested_at = NULL
  FROM (
    SELECT * FROM unnest(:signatures::text[], :slots::bigint[]) AS u (signature, slot) ORDER BY signature COLLATE "C"
  ) AS w
  WHERE t.signature = w.signature AND t.slot = w.slot AND t.awaits_witness_since IS NOT NULL
  RETURNING t.signature, t.path, t.slot
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'transfer.witnessed', signature, jsonb_build_object('path', path, 'slot', slot) FROM seen
)
SELECT count(pg_notify('transfers', signature))::int FROM (SELECT DISTINCT signature FROM seen) AS s;

-- name: contest$
-- Another node that has seen their slot does not know these landings, or contradicts them.
WITH contested AS (
  UPDATE transfers AS t SET contested_at = clock_timestamp()
  FROM (
    SELECT * FROM unnest(:signatures::text[], :slots::bigint[]) AS u (signature, slot) ORDER BY signature COLLATE "C"
  ) AS w
  WHERE t.signature = w.signature AND t.slot = w.slot AND t.awaits_witness_since IS NOT NULL AND t.contested_at IS NULL
  RETURNING t.signature, t.path, t.slot
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'transfer.contested', signature, jsonb_build_object('path', path, 'slot', slot) FROM contested
)
SELECT count(*)::int FROM contested;

-- name: finalize^
-- These landings are rooted: they can never be undone. Not so what too few nodes have seen, and what touched an account
-- about which ledger and chain disagree: that waits until it is explained.
WITH rooted AS (
  SELECT * FROM unnest(:signatures::text[], :slots::bigint[]) AS r (signature, slot) ORDER BY signature COLLATE "C"
),
moved AS (
  UPDATE transfers AS t SET finality = 'finalized'
  FROM rooted AS r
  WHERE t.signature = r.signature AND t.slot = r.slot AND t.finality = 'confirmed'
    AND t.awaits_witness_since IS NULL
    AND NOT EXISTS (
      SELECT FROM token_accounts AS a
      WHERE a.address IN (t.source, t.destination) AND (a.drift <> 0 OR a.gaps > 0)
    )
  RETURNING t.signature, t.path, t.slot
),
changed AS (
  UPDATE balance_changes AS b SET finality = 'finalized'
  FROM rooted AS r
  WHERE b.signature = r.signature AND b.slot = r.slot AND b.finality = 'confirmed'
    AND NOT EXISTS (
      SELECT FROM transfers AS t WHERE t.signature = b.signature AND t.awaits_witness_since IS NOT NULL
    )
    AND NOT EXISTS (SELECT FROM token_accounts AS a WHERE a.address = b.account AND (a.drift <> 0 OR a.gaps > 0))
),
found AS (
  DELETE FROM vanished_transactions AS v USING rooted AS r WHERE v.signature = r.signature
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'transfer.finalized', signature, jsonb_build_object('path', path, 'slot', slot) FROM moved
)
SELECT count(*) AS transfers FROM moved;

-- name: note_vanished!
-- The cluster does not know these any more; remember the block height at which that was first seen. One that a lifetime of
-- blocks has not brought about was made up: then the height of now.
INSERT INTO vanished_transactions (signature, slot, missing_at_height)
SELECT signature, slot, :height FROM unnest(:signatures::text[], :slots::bigint[]) AS v (signature, slot)
ON CONFLICT (signature) DO UPDATE SET missing_at_height = EXCLUDED.missing_at_height
WHERE vanished_transactions.missing_at_height > EXCLUDED.missing_at_height + :lifetime_blocks::bigint;

-- name: dead
-- Of these, the ones missing for so long that their blockhash cannot land them any more.
SELECT v.signature, v.slot
FROM vanished_transactions AS v
WHERE v.signature = ANY(:signatures::text[]) AND v.missing_at_height + :lifetime::bigint < :height;

-- name: orphan^
-- These will never land: what they did is undone, and an event says so.
WITH lost AS (
  SELECT * FROM unnest(:signatures::text[], :slots::bigint[]) AS l (signature, slot) ORDER BY signature COLLATE "C"
),
moved AS (
  UPDATE transfers AS t SET finality = 'orphaned'
  FROM lost AS l
  WHERE t.signature = l.signature AND t.slot = l.slot AND t.finality = 'confirmed'
  RETURNING t.signature, t.path, t.slot, t.mint, t.destination_owner, t.amount
),
changed AS (
  UPDATE balance_changes AS b SET finality = 'orphaned'
  FROM lost AS l
  WHERE b.signature = l.signature AND b.slot = l.slot AND b.finality = 'confirmed'
),
settled AS (
  DELETE FROM vanished_transactions AS v USING lost AS l WHERE v.signature = l.signature
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'transfer.orphaned', signature,
    jsonb_build_object('path', path, 'slot', slot, 'mint', mint, 'destinationOwner', destination_owner,
      'amount', amount::text)
  FROM moved
)
SELECT count(*) AS transfers FROM moved;
