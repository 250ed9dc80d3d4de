-- name: pending_claims
-- A page of the claims that are still to be decided, oldest first.
SELECT id, user_id, nonce, signature, payer, recipient, mint, amount, least_amount, exact, final_only,
  missing_at_height, "timestamp", clock_timestamp() - "timestamp" > make_interval(secs => :grace_seconds) AS is_overdue
FROM transactions
WHERE status = 'pending' AND ("timestamp", id) > (:after_timestamp::timestamptz, :after_id::uuid)
ORDER BY "timestamp", id
LIMIT :limit;

-- name: note_missing!
-- No node knows the transactions of these claims; remember the block height at which that was first seen.
UPDATE transactions SET missing_at_height = :height
WHERE id = ANY(:ids::uuid[]) AND status = 'pending' AND missing_at_height IS NULL;

-- name: note_found!
-- The transactions of these claims are on the chain after all.
UPDATE transactions SET missing_at_height = NULL
WHERE id = ANY(:ids::uuid[]) AND status = 'pending' AND missing_at_height IS NOT NULL;

-- name: followed_among
-- Which of these wallets are followed.
SELECT address FROM recipients WHERE active AND address = ANY(:wallets::text[]);

-- name: arrivals_for_requests
-- Payments that name an open payment request by its reference key or by its nonce as memo, not final yet.
--
-- Every payment is of this kind for a few seconds; `payments_of_open_requests` finds those that were not looked at then.
WITH named AS (
  SELECT t.signature, t.path, n.nonce
  FROM transfers AS t
  CROSS JOIN LATERAL unnest(t.reference_keys) AS k (reference)
  JOIN nonces AS n ON n.reference = k.reference
  WHERE t.finality = 'confirmed' AND t.reference_keys <> '{}' AND n.recipient = t.destination_owner
  UNION
  SELECT t.signature, t.path, n.nonce
  FROM transfers AS t
  CROSS JOIN LATERAL unnest(t.memos) AS m (memo)
  JOIN nonces AS n ON n.nonce = m.memo
  WHERE t.finality = 'confirmed' AND t.memos <> '{}' AND n.recipient = t.destination_owner
)
SELECT
  n.nonce, n.user_id, n.recipient, n.mint AS request_mint, n.currency, n.amount, n.scheme, n.resource, n.environment,
  j.id AS job_id, j.client_agent_id, token.decimals,
  t.signature, t.path, t.mint, t.source_owner, t.destination_owner, t.authority, t.amount - t.fee AS credited,
  t.finality = 'finalized' AS is_final
FROM named
JOIN nonces AS n ON n.nonce = named.nonce
JOIN transfers AS t ON t.signature = named.signature AND t.path = named.path
JOIN tokens AS token ON token.mint = n.mint
LEFT JOIN job_requests AS j ON j.nonce = n.nonce
WHERE t.kind IN ('transfer', 'transferChecked', 'transferCheckedWithFee', 'nativeTransfer')
  AND paid_at(t.block_time, t.notified_at, t.recorded_at) <= n.expires_at
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.user_id = n.user_id AND c.nonce = n.nonce AND c.status IN ('confirmed', 'finalized', 'reversed')
  )
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.signature = t.signature AND c.path = t.path AND c.status IN ('confirmed', 'finalized', 'reversed')
  )
ORDER BY t.slot, t.signature, t.path
LIMIT :limit;

-- name: payments_of_open_requests
-- The same the other way round: a page of open payment requests, with the payments that name them.
SELECT
  n.nonce, n.user_id, n.recipient, n.mint AS request_mint, n.currency, n.amount, n.scheme, n.resource, n.environment,
  j.id AS job_id, j.client_agent_id, token.decimals,
  t.signature, t.path, t.mint, t.source_owner, t.destination_owner, t.authority, t.amount - t.fee AS credited,
  t.finality = 'finalized' AS is_final
FROM (
  SELECT * FROM nonces
  WHERE nonce > :after_nonce AND expires_at > clock_timestamp() - make_interval(secs => :late_seconds)
  ORDER BY nonce
  LIMIT :limit
) AS n
JOIN tokens AS token ON token.mint = n.mint
LEFT JOIN job_requests AS j ON j.nonce = n.nonce
LEFT JOIN LATERAL (
  SELECT * FROM transfers
  WHERE reference_keys @> ARRAY[n.reference::text] AND reference_keys <> '{}'
  UNION
  SELECT * FROM transfers
  WHERE memos @> ARRAY[n.nonce] AND memos <> '{}'
) AS t ON t.destination_owner = n.recipient AND t.finality <> 'orphaned'
  AND t.kind IN ('transfer', 'transferChecked', 'transferCheckedWithFee', 'nativeTransfer')
  AND paid_at(t.block_time, t.notified_at, t.recorded_at) <= n.expires_at
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.user_id = n.user_id AND c.nonce = n.nonce AND c.status IN ('confirmed', 'finalized', 'reversed')
  )
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.signature = t.signature AND c.path = t.path AND c.status IN ('confirmed', 'finalized', 'reversed')
  )
ORDER BY n.nonce, t.slot, t.signature, t.path;

-- name: honour_requests
-- Give payment requests the transfers that name them, though no payer has claimed them. Answers those that were made.
WITH wanted AS (
  SELECT *
  FROM unnest(
    :nonces::text[], :signatures::text[], :paths::text[], :payers::text[], :least_amounts::numeric[], :agent_ids::text[]
  ) AS w (nonce, signature, path, payer, least_amount, agent_id)
),
held AS (
  SELECT w.payer, w.least_amount, w.agent_id, w.signature, w.path, n.user_id, n.nonce, n.currency, n.amount, n.scheme,
    n.resource, n.environment, t.destination_owner AS recipient, t.mint, t.amount - t.fee AS received, t.finality
  FROM wanted AS w
  JOIN nonces AS n ON n.nonce = w.nonce
  JOIN transfers AS t ON t.signature = w.signature AND t.path = w.path
  WHERE t.finality <> 'orphaned'
  ORDER BY t.signature, t.path
  FOR SHARE OF t
),
made AS (
  INSERT INTO transactions (
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received, exact,
    resource, agent_id, environment, status, honoured_at, settled_at
  )
  SELECT
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received,
    scheme = 'exact', resource, agent_id, environment,
    CASE finality WHEN 'finalized' THEN 'finalized'::claim_status ELSE 'confirmed'::claim_status END,
    clock_timestamp(), CASE finality WHEN 'finalized' THEN clock_timestamp() END
  FROM held
  ON CONFLICT DO NOTHING
  RETURNING id, user_id, nonce, signature, path, mint, received, status, agent_id
),
told AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.' || status, id::text, user_id, agent_id,
    jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text,
      'matchedBy', 'reference')
  FROM made
)
SELECT id, user_id, nonce, status FROM made;
