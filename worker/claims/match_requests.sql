-- name: naming_payments
-- Payments that name an open payment request by its reference key or by its nonce as memo: those that are not final yet,
-- or, where two times are given, those that became final between them.
--
-- Every payment is not final for a few seconds, and becomes final once: `payments_of_open_requests` finds sooner those
-- that were not looked at in those seconds.
WITH looked_at AS (
  SELECT signature, path, reference_keys, memos, destination_owner
  FROM transfers
  WHERE :until_at::timestamptz IS NULL AND finality = 'confirmed' AND (reference_keys <> '{}' OR memos <> '{}')
  UNION ALL
  SELECT t.signature, t.path, t.reference_keys, t.memos, t.destination_owner
  FROM events AS e
  JOIN transfers AS t ON t.signature = e.subject AND t.path = e.data ->> 'path'
  WHERE e.type = 'transfer.finalized' AND e.at > :from_at::timestamptz AND e.at <= :until_at::timestamptz
    AND (t.reference_keys <> '{}' OR t.memos <> '{}')
),
named AS (
  SELECT t.signature, t.path, n.nonce
  FROM looked_at AS t
  CROSS JOIN LATERAL unnest(t.reference_keys) AS k (reference)
  JOIN nonces AS n ON n.reference = k.reference
  WHERE n.recipient = t.destination_owner
  UNION
  SELECT t.signature, t.path, n.nonce
  FROM looked_at AS t
  CROSS JOIN LATERAL unnest(t.memos) AS m (memo)
  JOIN nonces AS n ON n.nonce = m.memo
  WHERE n.recipient = t.destination_owner
)
SELECT
  n.nonce, n.user_id, n.recipient, n.mint AS request_mint, n.currency, n.amount, n.scheme, n.resource, n.environment,
  j.client_agent_id, token.decimals,
  t.signature, t.path, t.mint, t.source_owner, t.destination_owner, t.authority, t.amount - t.fee AS credited,
  t.finality = 'finalized' AS is_final
FROM named
JOIN nonces AS n ON n.nonce = named.nonce
JOIN transfers AS t ON t.signature = named.signature AND t.path = named.path
JOIN tokens AS token ON token.mint = n.mint
LEFT JOIN job_requests AS j ON j.nonce = n.nonce
WHERE kind_is_payment(t.kind)
  AND transfer_counts(t.finality, t.awaits_witness_since)
  AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
  AND (t.finality = 'finalized' OR NOT n.final_only)
  AND paid_at(t.block_time, t.notified_at, t.recorded_at) <= n.expires_at
  AND wallet_was_of(n.recipient, n.user_id, paid_at(t.block_time, t.notified_at, t.recorded_at))
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.user_id = n.user_id AND c.nonce = n.nonce AND claim_holds_transfer(c.status)
  )
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
  )
  AND NOT transfer_pays_nothing(t.signature, t.path)
ORDER BY t.slot, t.signature, t.path
LIMIT :limit::int;

-- name: payments_of_open_requests
-- The same the other way round: a page of open payment requests, with the payments that name them.
SELECT
  n.nonce, n.user_id, n.recipient, n.mint AS request_mint, n.currency, n.amount, n.scheme, n.resource, n.environment,
  j.client_agent_id, token.decimals,
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
) AS t ON t.destination_owner = n.recipient
  AND kind_is_payment(t.kind)
  AND transfer_counts(t.finality, t.awaits_witness_since)
  AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
  AND (t.finality = 'finalized' OR NOT n.final_only)
  AND paid_at(t.block_time, t.notified_at, t.recorded_at) <= n.expires_at
  AND wallet_was_of(n.recipient, n.user_id, paid_at(t.block_time, t.notified_at, t.recorded_at))
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.user_id = n.user_id AND c.nonce = n.nonce AND claim_holds_transfer(c.status)
  )
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
  )
  AND NOT transfer_pays_nothing(t.signature, t.path)
ORDER BY n.nonce, t.slot, t.signature, t.path;
