-- name: claim_counts
-- Claims by status.
SELECT status::text AS status, count(*)::int AS claims FROM transactions GROUP BY status;

-- name: oldest_pending_seconds$
-- For how long the oldest claim has waited for its verdict; 0 when none does.
SELECT coalesce(extract(epoch FROM clock_timestamp() - min("timestamp")), 0)::double precision
FROM transactions WHERE status = 'pending';

-- name: payout_counts
-- Payouts by status and, of those that wait, by reason.
SELECT status::text AS status, waiting_reason, count(*)::int AS payouts,
  coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::double precision AS oldest_seconds
FROM payouts
GROUP BY status, waiting_reason;

-- name: gift_lamports$
-- The network's fees of the last 24 hours that were not taken from payouts.
SELECT coalesce(sum(gift_lamports), 0)::bigint
FROM payout_attempts
WHERE gift_lamports > 0 AND created_at > clock_timestamp() - interval '1 day' AND outcome IS DISTINCT FROM 'expired';

-- name: unmatched_count$
-- Received transfers that no claim has taken.
SELECT count(*)::int
FROM transfers AS t
WHERE transfer_counts(t.finality, t.awaits_witness_since)
  AND kind_is_payment(t.kind)
  AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
  AND t.destination_owner IN (SELECT address FROM recipients)
  AND NOT EXISTS (
    SELECT FROM transactions AS c
    WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
  );
