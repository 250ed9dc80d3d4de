-- name: payments_of_everybody
-- Transfers to wallets that are registered, newest first, from a place on.
SELECT
  t.signature, t.path, t.slot, t.block_time, t.kind, t.mint, t.source_owner, t.destination_owner, t.authority,
  t.amount, t.fee, t.amount - t.fee AS credited, shown_finality(t.finality, t.awaits_witness_since) AS finality,
  t.memos, t.recorded_at, c.id AS claim_id, c.nonce AS claim_nonce, c.status AS claim_status
FROM (
  SELECT *
  FROM transfers AS t
  WHERE t.destination_owner IN (SELECT address FROM recipients)
    AND kind_is_payment(t.kind)
    AND (:recipient::text IS NULL OR t.destination_owner = :recipient)
    AND (:payer::text IS NULL OR t.source_owner = :payer)
    AND (:mint::text IS NULL OR t.mint = :mint)
    AND (:finalities::finality[] IS NULL OR t.finality = ANY(:finalities))
    AND (:is_pending::boolean IS DISTINCT FROM true OR t.awaits_witness_since IS NOT NULL)
    AND (:is_pending::boolean IS DISTINCT FROM false OR t.finality <> 'confirmed' OR t.awaits_witness_since IS NULL)
    AND (:since::timestamptz IS NULL OR t.recorded_at >= :since)
    AND (:until::timestamptz IS NULL OR t.recorded_at < :until)
    AND (:until_slot::bigint IS NULL OR t.slot <= :until_slot)
    AND (:slot::bigint IS NULL OR t.slot <= :slot)
    AND (:slot::bigint IS NULL OR t.slot < :slot
      OR (t.signature, t.path) > (:signature::text COLLATE "C", :path::text COLLATE "C"))
  ORDER BY t.slot DESC, t.signature, t.path
  LIMIT :limit
) AS t
LEFT JOIN transactions AS c
  ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
ORDER BY t.slot DESC, t.signature, t.path;

-- name: wallets_of_user
-- The wallets of a user, present and former, each with the period in which it was theirs.
SELECT address, owned_since, NULL::timestamptz AS owned_until
FROM recipients
WHERE user_id = :user_id AND (:recipient::text IS NULL OR address = :recipient)
UNION ALL
SELECT address, owned_since, owned_until
FROM former_recipients
WHERE user_id = :user_id AND (:recipient::text IS NULL OR address = :recipient)
LIMIT :limit::int;

-- name: payments_of_wallet
-- Transfers to one wallet, those that were paid in a period, newest first, from a place on.
SELECT
  t.signature, t.path, t.slot, t.block_time, t.kind, t.mint, t.source_owner, t.destination_owner, t.authority,
  t.amount, t.fee, t.amount - t.fee AS credited, shown_finality(t.finality, t.awaits_witness_since) AS finality,
  t.memos, t.recorded_at, c.id AS claim_id, c.nonce AS claim_nonce, c.status AS claim_status
FROM (
  SELECT *
  FROM transfers AS t
  WHERE t.destination_owner = :recipient
    AND kind_is_payment(t.kind)
    AND (:owned_since::timestamptz IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) >= :owned_since)
    AND (:owned_until::timestamptz IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) < :owned_until)
    AND (:payer::text IS NULL OR t.source_owner = :payer)
    AND (:mint::text IS NULL OR t.mint = :mint)
    AND (:finalities::finality[] IS NULL OR t.finality = ANY(:finalities))
    AND (:is_pending::boolean IS DISTINCT FROM true OR t.awaits_witness_since IS NOT NULL)
    AND (:is_pending::boolean IS DISTINCT FROM false OR t.finality <> 'confirmed' OR t.awaits_witness_since IS NULL)
    AND (:since::timestamptz IS NULL OR t.recorded_at >= :since)
    AND (:until::timestamptz IS NULL OR t.recorded_at < :until)
    AND (:until_slot::bigint IS NULL OR t.slot <= :until_slot)
    AND (:slot::bigint IS NULL OR t.slot <= :slot)
    AND (:slot::bigint IS NULL OR t.slot < :slot
      OR (t.signature, t.path) > (:signature::text COLLATE "C", :path::text COLLATE "C"))
  ORDER BY t.slot DESC, t.signature, t.path
  LIMIT :limit
) AS t
LEFT JOIN transactions AS c
  ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
ORDER BY t.slot DESC, t.signature, t.path;

-- name: payments_of_many_wallets
-- Transfers to the many wallets of a user, while they were theirs, newest first, from a place on.
SELECT
  t.signature, t.path, t.slot, t.block_time, t.kind, t.mint, t.source_owner, t.destination_owner, t.authority,
  t.amount, t.fee, t.amount - t.fee AS credited, shown_finality(t.finality, t.awaits_witness_since) AS finality,
  t.memos, t.recorded_at, c.id AS claim_id, c.nonce AS claim_nonce, c.status AS claim_status
FROM (
  SELECT address, owned_since, NULL::timestamptz AS owned_until FROM recipients WHERE user_id = :user_id
  UNION ALL
  SELECT address, owned_since, owned_until FROM former_recipients WHERE user_id = :user_id
) AS r
CROSS JOIN LATERAL (
  SELECT *
  FROM transfers AS t
  WHERE t.destination_owner = r.address
    AND kind_is_payment(t.kind)
    AND (r.owned_since IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) >= r.owned_since)
    AND (r.owned_until IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) < r.owned_until)
    AND (:payer::text IS NULL OR t.source_owner = :payer)
    AND (:mint::text IS NULL OR t.mint = :mint)
    AND (:finalities::finality[] IS NULL OR t.finality = ANY(:finalities))
    AND (:is_pending::boolean IS DISTINCT FROM true OR t.awaits_witness_since IS NOT NULL)
    AND (:is_pending::boolean IS DISTINCT FROM false OR t.finality <> 'confirmed' OR t.awaits_witness_since IS NULL)
    AND (:since::timestamptz IS NULL OR t.recorded_at >= :since)
    AND (:until::timestamptz IS NULL OR t.recorded_at < :until)
    AND (:until_slot::bigint IS NULL OR t.slot <= :until_slot)
    AND (:slot::bigint IS NULL OR t.slot <= :slot)
    AND (:slot::bigint IS NULL OR t.slot < :slot
      OR (t.signature, t.path) > (:signature::text COLLATE "C", :path::text COLLATE "C"))
  ORDER BY t.slot DESC, t.signature, t.path
  LIMIT :limit
) AS t
LEFT JOIN transactions AS c
  ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
WHERE :recipient::text IS NULL OR r.address = :recipient
ORDER BY t.slot DESC, t.signature, t.path
LIMIT :limit;

-- name: slot_recorded_before$
-- A slot after which nothing was recorded before `until`; null where there is none. A transfer is not recorded earlier
-- than its block was made; the day allows for clocks that differ.
SELECT slot FROM transfers
WHERE coalesce(block_time, recorded_at) >= :until::timestamptz + interval '1 day' AND block_time IS NOT NULL
ORDER BY coalesce(block_time, recorded_at)
LIMIT 1;

-- name: payments_of_transaction
-- Every transfer of a transaction to the wallets of a user, while they were theirs, or of everybody.
SELECT
  t.signature, t.path, t.slot, t.block_time, t.kind, t.mint, t.source_owner, t.destination_owner, t.authority,
  t.amount, t.fee, t.amount - t.fee AS credited, shown_finality(t.finality, t.awaits_witness_since) AS finality,
  t.memos, t.recorded_at, c.id AS claim_id, c.nonce AS claim_nonce, c.status AS claim_status
FROM transfers AS t
JOIN (
  SELECT address, CASE WHEN :user_id::text IS NOT NULL THEN owned_since END AS owned_since, NULL::timestamptz AS owned_until
  FROM recipients
  WHERE :user_id::text IS NULL OR user_id = :user_id
  UNION ALL
  SELECT address, owned_since, owned_until FROM former_recipients WHERE user_id = :user_id
) AS r ON r.address = t.destination_owner
  AND (r.owned_since IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) >= r.owned_since)
  AND (r.owned_until IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) < r.owned_until)
LEFT JOIN transactions AS c
  ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
WHERE t.signature = :signature
  AND kind_is_payment(t.kind)
ORDER BY t.path;

-- name: signatures_beginning_with
-- Recorded signatures that begin with a text. No character of a signature is above chr(1114111).
SELECT DISTINCT signature
FROM transfers
WHERE signature COLLATE "C" >= :beginning::text AND signature COLLATE "C" < :beginning::text || chr(1114111)
ORDER BY signature
LIMIT :limit;

-- name: settled_signatures
-- Those of some signatures whose landing is rooted or was undone.
SELECT DISTINCT signature
FROM transfers
WHERE signature = ANY(:signatures::text[]) AND finality <> 'confirmed';
