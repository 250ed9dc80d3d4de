-- name: add_request^
-- Register a payment request.
WITH added AS (
  INSERT INTO nonces (
    nonce, user_id, recipient, mint, currency, amount, resource, scheme, metadata, reference, environment, expires_at
  )
  VALUES (
    :nonce, :user_id, :recipient, :mint, :currency, :amount, :resource, :scheme, :metadata, :reference, :environment,
    :expires_at
  )
  RETURNING *
),
told AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'request.created', nonce, user_id, jsonb_build_object('mint', mint, 'amount', amount::text) FROM added
)
SELECT * FROM added;

-- name: request^
-- A payment request with the claim that it was paid by, or else the last one that says so.
SELECT
  n.*,
  c.id AS claim_id,
  c.status AS claim_status,
  c.payer,
  c.signature,
  c.path,
  c.received,
  c.honoured_at,
  paid_at(t.block_time, t.notified_at, t.recorded_at) AS paid_at,
  t.slot
FROM nonces AS n
LEFT JOIN LATERAL (
  SELECT *
  FROM transactions AS c
  WHERE c.user_id = n.user_id AND c.nonce = n.nonce
  ORDER BY c.status IN ('confirmed', 'finalized', 'reversed') DESC, c.status = 'pending' DESC, c."timestamp" DESC
  LIMIT 1
) AS c ON true
LEFT JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
WHERE n.nonce = :nonce;

-- name: transfers_of_request
-- The transfers that carry a request's reference key, or its nonce as memo, to its wallet.
SELECT
  t.signature, t.path, t.slot, t.block_time, t.kind, t.mint, t.source_owner, t.destination_owner, t.authority,
  t.amount, t.fee, t.amount - t.fee AS credited, t.finality, t.memos, t.recorded_at, NULL::uuid AS claim_id,
  NULL::text AS claim_nonce, NULL::claim_status AS claim_status,
  paid_at(t.block_time, t.notified_at, t.recorded_at) AS paid_at
FROM transfers AS t
WHERE t.destination_owner = :recipient AND t.finality <> 'orphaned'
  AND ((t.reference_keys <> '{}' AND t.reference_keys @> ARRAY[:reference::text])
    OR (t.memos <> '{}' AND t.memos @> ARRAY[:nonce::text]))
ORDER BY t.slot, t.signature, t.path;

-- name: payments
-- Transfers to the wallets of a user, or of everybody, newest first, from a place in the list on.
SELECT
  t.signature, t.path, t.slot, t.block_time, t.kind, t.mint, t.source_owner, t.destination_owner, t.authority,
  t.amount, t.fee, t.amount - t.fee AS credited, t.finality, t.memos, t.recorded_at, c.id AS claim_id,
  c.nonce AS claim_nonce, c.status AS claim_status
FROM recipients AS r
CROSS JOIN LATERAL (
  SELECT *
  FROM transfers AS t
  WHERE t.destination_owner = r.address
    AND t.kind IN ('transfer', 'transferChecked', 'transferCheckedWithFee', 'nativeTransfer')
    AND (:payer::text IS NULL OR t.source_owner = :payer)
    AND (:mint::text IS NULL OR t.mint = :mint)
    AND (:finality::finality IS NULL OR t.finality = :finality)
    AND (:since::timestamptz IS NULL OR t.recorded_at >= :since)
    AND (:until::timestamptz IS NULL OR t.recorded_at < :until)
    AND (:slot::bigint IS NULL OR t.slot <= :slot)
    AND (:slot::bigint IS NULL OR t.slot < :slot
      OR (t.signature, t.path) > (:signature::text COLLATE "C", :path::text COLLATE "C"))
  ORDER BY t.slot DESC, t.signature, t.path
  LIMIT :limit
) AS t
LEFT JOIN transactions AS c
  ON c.signature = t.signature AND c.path = t.path AND c.status IN ('confirmed', 'finalized', 'reversed')
WHERE (:user_id::text IS NULL OR r.user_id = :user_id) AND (:recipient::text IS NULL OR r.address = :recipient)
ORDER BY t.slot DESC, t.signature, t.path
LIMIT :limit;

-- name: payments_of_transaction
-- Every transfer of a transaction to the wallets of a user, or of everybody who is followed.
SELECT
  t.signature, t.path, t.slot, t.block_time, t.kind, t.mint, t.source_owner, t.destination_owner, t.authority,
  t.amount, t.fee, t.amount - t.fee AS credited, t.finality, t.memos, t.recorded_at, c.id AS claim_id,
  c.nonce AS claim_nonce, c.status AS claim_status
FROM transfers AS t
JOIN recipients AS r ON r.address = t.destination_owner
LEFT JOIN transactions AS c
  ON c.signature = t.signature AND c.path = t.path AND c.status IN ('confirmed', 'finalized', 'reversed')
WHERE t.signature = :signature
  AND t.kind IN ('transfer', 'transferChecked', 'transferCheckedWithFee', 'nativeTransfer')
  AND (:user_id::text IS NULL OR r.user_id = :user_id)
ORDER BY t.path;
