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

-- name: large_among
-- Those of these landings that move at least so much of a token to a followed wallet, by the token's symbol.
SELECT DISTINCT t.signature
FROM unnest(:signatures::text[], :slots::bigint[]) AS w (signature, slot)
JOIN transfers AS t ON t.signature = w.signature AND t.slot = w.slot AND t.finality <> 'orphaned'
CROSS JOIN unnest(:symbols::text[], :thresholds::text[]) AS f (symbol, figure)
JOIN tokens AS k ON upper(k.symbol) = f.symbol AND mint_counts_as(t.mint, k.mint)
JOIN recipients AS r ON r.address = t.destination_owner
WHERE t.amount >= f.figure::numeric * 10::numeric ^ k.decimals::numeric;

-- name: recorded_transfers
-- What these landings moved, as it is recorded.
SELECT t.signature, t.path, t.kind::text AS kind, t.program, t.mint, t.source, t.destination, t.source_owner,
  t.destination_owner, t.authority, t.amount, t.reference_keys, t.memos
FROM unnest(:signatures::text[], :slots::bigint[]) AS w (signature, slot)
JOIN transfers AS t ON t.signature = w.signature AND t.slot = w.slot AND t.finality <> 'orphaned';

-- name: recorded_balances
-- What these landings did to followed accounts, as it is recorded.
SELECT b.signature, b.account, b.mint, b.pre, b.post
FROM unnest(:signatures::text[], :slots::bigint[]) AS w (signature, slot)
JOIN balance_changes AS b ON b.signature = w.signature AND b.slot = w.slot AND b.finality <> 'orphaned';

-- name: witness_state^
-- How many transfers wait for a witness, for how long, and how many of them another node contradicts.
SELECT
  count(*)::int AS awaiting,
  count(contested_at)::int AS contested,
  coalesce(extract(epoch FROM clock_timestamp() - min(awaits_witness_since)), 0)::float8 AS oldest_seconds
FROM transfers
WHERE awaits_witness_since IS NOT NULL AND finality <> 'orphaned';
