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
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'request.created', nonce, user_id, jsonb_build_object('mint', mint, 'amount', amount::text) FROM added
)
SELECT
  nonce, user_id, recipient, mint, currency, amount, resource, scheme, metadata, reference, environment, created_at,
  expires_at
FROM added;

-- name: find_request^
-- A payment request with the claim that it was paid by, or else the last one that says so.
SELECT
  n.nonce, n.user_id, n.recipient, n.mint, n.currency, n.amount, n.resource, n.scheme, n.metadata, n.reference,
  n.environment, n.created_at, n.expires_at,
  c.status AS claim_status,
  c.payer,
  c.signature,
  c.received,
  c.honoured_at,
  paid_at(t.block_time, t.notified_at, t.recorded_at) AS paid_at
FROM nonces AS n
LEFT JOIN LATERAL (
  SELECT *
  FROM transactions AS c
  WHERE c.user_id = n.user_id AND c.nonce = n.nonce
  ORDER BY claim_holds_transfer(c.status) DESC, c.status = 'pending' DESC, c."timestamp" DESC
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
