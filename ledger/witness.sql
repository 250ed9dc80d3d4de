-- name: awaiting_witness
-- Landings that too few nodes have seen, the newest first: somebody waits for those.
SELECT DISTINCT signature, slot, awaits_witness_since
FROM (
  SELECT signature, slot, awaits_witness_since FROM transfers
  WHERE awaits_witness_since IS NOT NULL AND finality <> 'orphaned'
  ORDER BY awaits_witness_since DESC
  LIMIT :limit
) AS waiting
ORDER BY awaits_witness_since DESC, signature;

-- name: witness_state^
-- How many transfers wait for a witness, for how long, and how many of them another node contradicts.
SELECT
  count(*)::int AS awaiting,
  count(contested_at)::int AS contested,
  coalesce(extract(epoch FROM clock_timestamp() - min(awaits_witness_since)), 0)::float8 AS oldest_seconds
FROM transfers
WHERE awaits_witness_since IS NOT NULL AND finality <> 'orphaned';
