-- name: make_merchants!
-- Merchants with one wallet each.
INSERT INTO recipients (address, user_id, followed_from_slot)
SELECT bench_text('wallet' || n, 44), 'merchant-' || n, 0 FROM generate_series(0, :merchants::int - 1) AS n;

-- name: make_transfers!
-- Transfers spread evenly over a year that ends now, four to a slot, from some thousand payers to the merchants; of a
-- hundred, so many more than its share go to the first.
INSERT INTO transfers (
  signature, path, slot, block_time, kind, program, mint, source, destination, source_owner, destination_owner,
  authority, amount, finality, recorded_at
)
SELECT
  bench_text('signature' || n, 88), '0', 1000 + n / 4, at, 'transferChecked',
  'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA',
  CASE WHEN n % 5 = 0 THEN 'EJwZgeZrdC8TXTQbQBoL6bfuAnFUUy1PVCMB4DYPzVaS'
    ELSE '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU' END,
  payer.address, wallet.address, payer.address, wallet.address, payer.address,
  1000 + n::bigint * 7919 % 1000000, 'finalized', at
FROM (
  SELECT n, now() - interval '365 days' * (1 - n::float / :transfers::int) AS at
  FROM generate_series(1, :transfers::int) AS n
) AS made
JOIN (
  SELECT i, bench_text('wallet' || i, 44) AS address FROM generate_series(0, :merchants::int - 1) AS i
) AS wallet ON wallet.i = CASE WHEN n % 100 < :heavy_percent::int THEN 0 ELSE n % :merchants::int END
JOIN (
  SELECT i, bench_text('payer' || i, 44) AS address FROM generate_series(0, :payers::int - 1) AS i
) AS payer ON payer.i = n::bigint * 17 % :payers::int
ORDER BY n;

-- name: make_claims!
-- A finalized claim of so many transfers, the newest ones left out, paid for by some hundred agents.
INSERT INTO transactions (
  user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received, agent_id, status,
  "timestamp", answered_at, honoured_at, settled_at
)
SELECT
  r.user_id, left(md5(t.signature), 24), t.signature, t.path, t.source_owner, t.destination_owner, t.mint, k.symbol,
  t.amount, t.amount, t.amount, 'agent-' || abs(hashtext(t.signature)) % :agents::int, 'finalized',
  t.block_time, t.block_time, t.block_time, t.block_time
FROM transfers AS t
JOIN recipients AS r ON r.address = t.destination_owner
JOIN tokens AS k ON k.mint = t.mint
WHERE t.slot <= 1000 + (:transfers::int - :unclaimed::int) / 4
  AND t.slot > 1000 + (:transfers::int - :unclaimed::int - :claims::int) / 4
ORDER BY t.slot;

-- name: make_events!
-- The event of each claim.
INSERT INTO events (type, at, subject, user_id, agent_id, data)
SELECT 'claim.finalized', "timestamp", id::text, user_id, agent_id,
  jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text)
FROM transactions
ORDER BY "timestamp";

-- name: note_all_claims!
-- What the triggers would have noted, had they not been off.
INSERT INTO claim_changes (day, user_id, agent_id, mint, environment, claims, received, last_at)
SELECT ("timestamp" AT TIME ZONE 'UTC')::date, user_id, agent_id, mint, environment,
  count(*), sum(received), max("timestamp")
FROM transactions
WHERE claim_is_paid(status)
GROUP BY 1, 2, 3, 4, 5;

-- name: constraints_of
-- The constraints of some tables, and those of others that point to them, foreign keys first.
SELECT conrelid::regclass::text AS relation, conname::text AS name, contype::text AS kind,
  pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype IN ('p', 'u', 'f', 'c')
  AND (conrelid = ANY(:tables::text[]::regclass[]) OR confrelid = ANY(:tables::text[]::regclass[]))
ORDER BY contype <> 'f', conname;

-- name: indexes_of
-- The indexes of some tables that no constraint stands on.
SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index AS i
WHERE i.indrelid = ANY(:tables::text[]::regclass[])
  AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)
ORDER BY 1;

-- name: unclaimed
-- The newest transfers, which honour no claim yet, in any order.
SELECT t.signature, t.path, t.source_owner, t.destination_owner, t.mint, t.amount, r.user_id, k.symbol
FROM transfers AS t
JOIN recipients AS r ON r.address = t.destination_owner
JOIN tokens AS k ON k.mint = t.mint
WHERE NOT EXISTS (SELECT FROM transactions AS c WHERE c.signature = t.signature AND c.path = t.path)
  AND t.slot > 1000 + (:transfers::int - :unclaimed::int) / 4
ORDER BY md5(t.signature);
