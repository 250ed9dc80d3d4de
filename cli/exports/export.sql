-- name: export_transfers
-- Every movement of a time range, oldest first, orphaned ones included. Amounts are base units; `credited` is exact too.
SELECT
  coalesce(t.block_time, t.recorded_at) AS paid_at,
  t.signature, t.path, t.slot, shown_finality(t.finality, t.awaits_witness_since) AS finality, t.kind, owner.user_id, t.mint, k.symbol, k.decimals::int AS decimals,
  t.source, t.destination, t.source_owner, t.destination_owner, t.authority,
  t.amount::numeric AS amount_base_units,
  t.fee::numeric AS fee_base_units,
  (t.amount - t.fee)::numeric AS credited_base_units,
  analytics.figure(t.amount - t.fee, k.decimals)::text AS credited,
  t.recorded_at
FROM transfers AS t
LEFT JOIN tokens AS k ON k.mint = t.mint
LEFT JOIN recipients AS r ON r.address = t.destination_owner
CROSS JOIN LATERAL (
  -- Of a wallet that has changed hands, whose it was.
  SELECT CASE
    WHEN r.owned_since IS NULL THEN r.user_id
    ELSE wallet_user_at(t.destination_owner, paid_at(t.block_time, t.notified_at, t.recorded_at))
  END AS user_id
) AS owner
WHERE coalesce(t.block_time, t.recorded_at) >= :since::timestamptz
  AND coalesce(t.block_time, t.recorded_at) < :until::timestamptz
  AND (:user_id::text IS NULL OR owner.user_id = :user_id)
ORDER BY coalesce(t.block_time, t.recorded_at), t.signature, t.path;

-- name: export_claims
-- Every claim of a time range, oldest first, whatever became of it.
SELECT
  c."timestamp" AS claimed_at,
  c.id::text AS id, c.user_id, c.agent_id, c.environment, c.status::text AS status, c.code, c.nonce, c.signature,
  c.path, c.payer, c.recipient, c.mint, c.currency AS symbol, k.decimals::int AS decimals,
  c.amount::numeric AS amount_base_units,
  c.received::numeric AS received_base_units,
  analytics.figure(c.amount, k.decimals)::text AS amount,
  analytics.figure(c.received, k.decimals)::text AS received,
  c.resource, c.honoured_at, c.reversed_at, c.settled_at
FROM transactions AS c
LEFT JOIN tokens AS k ON k.mint = c.mint
WHERE c."timestamp" >= :since::timestamptz AND c."timestamp" < :until::timestamptz
  AND (:user_id::text IS NULL OR c.user_id = :user_id)
ORDER BY c."timestamp", c.id;

-- name: export_payouts
-- Every payout that was decided in a time range, oldest first, settled or not.
SELECT
  p.created_at AS decided_at,
  p.id::text AS id, p.job_id::text AS job_id, p.kind, p.reason, p.status::text AS status, j.provider_user_id,
  j.client_user_id, p.wallet, p.recipient, p.mint, k.symbol, k.decimals::int AS decimals,
  p.amount::numeric AS amount_base_units,
  analytics.figure(p.amount, k.decimals)::text AS amount,
  p.settled_signature, p.settled_path, p.settled_at
FROM payouts AS p
JOIN job_requests AS j ON j.id = p.job_id
LEFT JOIN tokens AS k ON k.mint = p.mint
WHERE p.created_at >= :since::timestamptz AND p.created_at < :until::timestamptz
  AND (:user_id::text IS NULL OR :user_id IN (j.provider_user_id, j.client_user_id))
ORDER BY p.created_at, p.id;
