-- name: payable_twice
-- Exports of payouts that may still land, though the payout seems to be paid already: it is settled by another transaction
-- than the one that was exported, or is open while as much went from the same wallet to its recipient for no other payout.
SELECT a.payout_id, a.nonce_account, p.status = 'settled' AS is_settled
FROM payout_attempts AS a
JOIN payouts AS p ON p.id = a.payout_id
WHERE a.nonce_account IS NOT NULL AND a.dead_from_slot IS NULL
  AND CASE
    WHEN p.status = 'settled' THEN a.signature IS DISTINCT FROM p.settled_signature
    ELSE a.ended_at IS NULL AND EXISTS (
      SELECT FROM transfers AS t
      WHERE t.source_owner = p.wallet AND t.destination_owner = p.recipient AND t.mint = p.mint
        AND t.amount IN (p.amount, p.amount - p.charged) AND t.finality <> 'orphaned'
        AND t.recorded_at >= p.created_at
        AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
        AND NOT EXISTS (SELECT FROM payouts AS o WHERE o.settled_signature = t.signature AND o.settled_path = t.path)
        AND NOT EXISTS (SELECT FROM payouts AS o WHERE o.reference = ANY(t.reference_keys) AND o.id <> p.id)
    )
  END
ORDER BY a.created_at, a.id
LIMIT :limit;

-- name: nonces_of
-- The nonce accounts by which exports of these payouts live.
SELECT payout_id, nonce_account
FROM payout_attempts
WHERE payout_id = ANY(:payouts::uuid[]) AND nonce_account IS NOT NULL AND ended_at IS NULL AND dead_from_slot IS NULL;

-- name: ended_exports
-- A page of exports of payouts that are paid, by whatever transaction, and whose nonces are not known to have been advanced:
-- from a place on, oldest first.
SELECT a.id, a.nonce_account, a.nonce_value, a.nonce_slot, a.ended_at
FROM payout_attempts AS a
JOIN payouts AS p ON p.id = a.payout_id
WHERE a.nonce_account IS NOT NULL AND a.ended_at IS NOT NULL AND a.dead_from_slot IS NULL AND p.status = 'settled'
  AND (a.ended_at, a.id) > (:after_ended_at::timestamptz, :after_id::uuid)
ORDER BY a.ended_at, a.id
LIMIT :limit;

-- name: note_export_dead!
-- The nonce of an export of a payout that is paid was advanced, finalized at a slot: nothing of it can land any more.
UPDATE payout_attempts SET dead_from_slot = :slot
WHERE id = :id AND nonce_account IS NOT NULL AND ended_at IS NOT NULL AND dead_from_slot IS NULL;
