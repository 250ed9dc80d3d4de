-- name: pending_claims
-- A page of the claims that are still to be decided, oldest first.
SELECT id, user_id, nonce, signature, payer, recipient, mint, amount, least_amount, exact, final_only,
  environment = 'test' AND claimed_from IS NULL AS for_tests, missing_at_height, "timestamp", clock_timestamp() - "timestamp" > make_interval(secs => :grace_seconds) AS is_overdue
FROM transactions
WHERE status = 'pending' AND ("timestamp", id) > (:after_timestamp::timestamptz, :after_id::uuid)
ORDER BY "timestamp", id
LIMIT :limit;
