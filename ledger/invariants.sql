-- name: claims_within_their_transfers
-- An honoured claim was credited exactly what its transfer credited, at least what it accepts, to its recipient.
SELECT c.id::text AS subject, c.received AS found, t.amount - t.fee AS expected
FROM transactions AS c
JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
WHERE claim_is_paid(c.status)
  AND (c.received <> t.amount - t.fee OR c.received < c.least_amount OR c.mint <> t.mint
    OR c.recipient IS DISTINCT FROM t.destination_owner)
LIMIT :limit;

-- name: one_claim_per_transfer
-- No transfer honours two claims.
SELECT c.signature || '/' || c.path AS subject, count(*) AS found, 1 AS expected
FROM transactions AS c
WHERE claim_holds_transfer(c.status)
GROUP BY c.signature, c.path
HAVING count(*) > 1
LIMIT :limit;

-- name: one_payment_per_nonce
-- No nonce of a merchant is used twice.
SELECT c.user_id || '/' || c.nonce AS subject, count(*) AS found, 1 AS expected
FROM transactions AS c
WHERE claim_holds_transfer(c.status)
GROUP BY c.user_id, c.nonce
HAVING count(*) > 1
LIMIT :limit;

-- name: final_claims_stand
-- A finalized claim rests on a finalized transfer, and no honoured claim on one that is undone.
SELECT c.id::text AS subject, 0 AS found, 1 AS expected
FROM transactions AS c
JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
WHERE (c.status = 'finalized' AND t.finality <> 'finalized')
  -- Claims follow their transfers in the same transaction or a moment later.
  OR (c.status = 'confirmed' AND t.finality = 'orphaned' AND c.honoured_at < clock_timestamp() - interval '1 minute')
LIMIT :limit;

-- name: events_of_claims_are_a_way
-- The events of each claim of the last day, the newest ten thousand, are one legal way to the status in which it stands.
WITH young AS (
  SELECT id::text AS subject, status::text
  FROM transactions
  WHERE "timestamp" > clock_timestamp() - interval '1 day'
  ORDER BY "timestamp" DESC
  LIMIT 10000
),
steps AS (
  SELECT y.subject, e.id, substr(e.type, 7) AS status,
    coalesce(lag(substr(e.type, 7)) OVER way, 'new') AS before, lead(e.id) OVER way IS NULL AS is_last
  FROM young AS y
  JOIN events AS e ON e.subject = y.subject AND e.type = ANY(
    ARRAY['claim.pending', 'claim.confirmed', 'claim.finalized', 'claim.failed', 'claim.expired', 'claim.reversed']
  )
  WINDOW way AS (PARTITION BY y.subject ORDER BY e.id)
)
SELECT y.subject,
  count(s.id) FILTER (WHERE k.machine IS NOT NULL OR (s.before = 'confirmed' AND s.status = 'confirmed')) AS found,
  greatest(count(s.id), 1) AS expected
FROM young AS y
LEFT JOIN steps AS s ON s.subject = y.subject
LEFT JOIN state_transitions AS k ON k.machine = 'claim' AND k.from_status = s.before AND k.to_status = s.status
GROUP BY y.subject, y.status
HAVING count(s.id) = 0 OR max(s.status) FILTER (WHERE s.is_last) IS DISTINCT FROM y.status
  OR count(s.id) FILTER (WHERE k.machine IS NULL AND NOT (s.before = 'confirmed' AND s.status = 'confirmed')) > 0
LIMIT :limit;

-- name: funding_is_whole
-- Of every payment of a job, what is held and what goes back add up to what came in, by a finalized transfer.
SELECT f.claim_id::text AS subject, f.escrowed + f.rest AS found, c.received AS expected
FROM job_fundings AS f
JOIN transactions AS c ON c.id = f.claim_id
WHERE f.escrowed + f.rest <> c.received OR c.status <> 'finalized'
LIMIT :limit;

-- name: escrow_is_the_price
-- A job whose money is said to be held, released or refunded was funded with its price, or with what counts as that where
-- nothing more came, and no other was.
SELECT j.id::text AS subject, coalesce(f.escrowed, 0) AS found,
  CASE WHEN j.escrow_status = 'pending' THEN 0 ELSE j.price_amount END AS expected
FROM job_requests AS j
JOIN tokens AS t ON t.mint = j.price_mint
LEFT JOIN job_fundings AS f ON f.job_id = j.id AND f.escrowed > 0
WHERE CASE
  WHEN j.escrow_status = 'pending' THEN f.escrowed > 0
  WHEN f.escrowed < j.price_amount THEN f.escrowed < least_equal_amount(j.price_amount, t.decimals) OR f.rest > 0
  ELSE f.escrowed IS DISTINCT FROM j.price_amount
END
LIMIT :limit;

-- name: paid_out_and_held_are_funded
-- For every settlement wallet and mint: what has left, what is on its way out and what is held add up to what came in.
WITH funded AS (
  SELECT c.recipient AS wallet, c.mint, sum(c.received) AS amount
  FROM job_fundings AS f JOIN transactions AS c ON c.id = f.claim_id
  GROUP BY c.recipient, c.mint
),
paid AS (
  SELECT wallet, mint, sum(amount) AS amount FROM payouts GROUP BY wallet, mint
),
held AS (
  SELECT wallet, mint, sum(amount) AS amount
  FROM (
    SELECT c.recipient AS wallet, c.mint,
      CASE WHEN EXISTS (SELECT FROM payouts AS p WHERE p.claim_id = f.claim_id AND p.part = 'escrow')
        THEN 0 ELSE f.escrowed END
      + CASE WHEN EXISTS (SELECT FROM payouts AS p WHERE p.claim_id = f.claim_id AND p.part = 'rest')
        THEN 0 ELSE f.rest END AS amount
    FROM job_fundings AS f JOIN transactions AS c ON c.id = f.claim_id
  ) AS parts
  GROUP BY wallet, mint
)
SELECT funded.wallet || '/' || funded.mint AS subject,
  coalesce(paid.amount, 0) + coalesce(held.amount, 0) AS found, funded.amount AS expected
FROM funded
LEFT JOIN paid USING (wallet, mint)
LEFT JOIN held USING (wallet, mint)
WHERE coalesce(paid.amount, 0) + coalesce(held.amount, 0) <> funded.amount
LIMIT :limit;

-- name: one_transfer_per_payout
-- No payout was paid twice: its reference is on one transfer from its wallet.
SELECT p.id::text AS subject, count(*) AS found, 1 AS expected
FROM payouts AS p
JOIN transfers AS t
  ON t.reference_keys @> ARRAY[p.reference::text] AND t.reference_keys <> '{}'
  AND t.finality <> 'orphaned' AND t.source_owner = p.wallet
  AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
GROUP BY p.id
HAVING count(*) > 1
LIMIT :limit;

-- name: settled_payouts_are_paid
-- A settled payout has a finalized transfer to its recipient of exactly its amount, less what it was charged.
SELECT p.id::text AS subject, t.amount AS found, p.amount - p.charged AS expected
FROM payouts AS p
JOIN transfers AS t ON t.signature = p.settled_signature AND t.path = p.settled_path
WHERE t.finality <> 'finalized' OR t.amount <> p.amount - p.charged OR t.mint <> p.mint
  OR t.destination_owner IS DISTINCT FROM p.recipient::text OR t.source_owner IS DISTINCT FROM p.wallet::text
LIMIT :limit;

-- name: gross_out_within_received
-- What has left the settlement wallet for a claim, a token's own fee included, is no more than the claim brought.
SELECT c.id::text AS subject, sum(t.amount) AS found, c.received AS expected
FROM payouts AS p
JOIN transactions AS c ON c.id = p.claim_id
JOIN transfers AS t
  ON t.reference_keys @> ARRAY[p.reference::text] AND t.reference_keys <> '{}'
  AND t.finality <> 'orphaned' AND t.source_owner = p.wallet
  AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
GROUP BY c.id
HAVING sum(t.amount) > c.received
LIMIT :limit;

-- name: rent_is_taken_from_payouts
-- An account that was opened for a payout was paid for by it.
SELECT p.id::text AS subject, p.charged AS found, 1 AS expected
FROM payouts AS p
WHERE p.rent_lamports > 0 AND p.charged = 0
LIMIT :limit;

-- name: lamports_are_borne
-- What the settlement wallet spends on a claim, fees of attempts that failed included, is kept of what it pays out for it
-- or was given within the budget of a day: to the lamport.
WITH attempted AS (
  SELECT p.claim_id, sum(a.fee_lamports) AS fees, sum(a.gift_lamports) AS gifts
  FROM payout_attempts AS a
  JOIN payouts AS p ON p.id = a.payout_id
  WHERE a.outcome IS DISTINCT FROM 'expired'
  GROUP BY p.claim_id
),
kept AS (
  SELECT claim_id, sum(rent_lamports) AS rents, sum(charged_lamports) AS charged FROM payouts GROUP BY claim_id
)
SELECT k.claim_id::text AS subject, k.rents + coalesce(a.fees, 0) AS found, k.charged + coalesce(a.gifts, 0) AS expected
FROM kept AS k
LEFT JOIN attempted AS a USING (claim_id)
WHERE k.rents + coalesce(a.fees, 0) > k.charged + coalesce(a.gifts, 0)
LIMIT :limit;

-- name: settled_jobs_are_paid
-- A job that is released or refunded has a settled payout of that kind, and nothing else has one.
SELECT j.id::text AS subject, count(p.id) AS found,
  CASE WHEN escrow_is_settled(j.escrow_status) THEN 1 ELSE 0 END AS expected
FROM job_requests AS j
LEFT JOIN payouts AS p ON p.job_id = j.id AND p.part = 'escrow' AND p.status = 'settled'
  AND p.kind = CASE j.escrow_status WHEN 'released' THEN 'release' WHEN 'refunded' THEN 'refund' ELSE p.kind END
WHERE j.escrow_status <> 'pending'
GROUP BY j.id
HAVING count(p.id) <> CASE WHEN escrow_is_settled(j.escrow_status) THEN 1 ELSE 0 END
LIMIT :limit;

-- name: earnings_are_released
-- What a service is said to have earned is what was released for it, jobs of tests and of its own user left out.
SELECT a.id::text AS subject, a.total_earnings AS found, coalesce(sum(p.amount), 0) AS expected
FROM agent_services AS a
LEFT JOIN job_requests AS j ON j.service_id = a.id AND j.escrow_status = 'released'
  AND job_counts(j.environment, j.client_user_id, j.provider_user_id)
LEFT JOIN payouts AS p ON p.job_id = j.id AND p.kind = 'release' AND p.status = 'settled'
GROUP BY a.id
HAVING a.total_earnings <> coalesce(sum(p.amount), 0) OR a.successful_jobs <> count(j.id)
LIMIT :limit;

-- name: totals_are_their_claims
-- The revenue of a day, merchant and token is what its honoured claims were credited, and so is that of all merchants.
SELECT concat_ws('/', nullif(user_id, ''), day, mint, environment) AS subject,
  coalesce(sum(received) FILTER (WHERE is_total), 0) AS found,
  coalesce(sum(received) FILTER (WHERE NOT is_total), 0) AS expected
FROM (
  SELECT user_id, day, mint, environment, claims, received, true AS is_total FROM revenue_days
  UNION ALL
  SELECT whose, day, mint, environment, claims, received, true
  FROM claim_changes CROSS JOIN LATERAL unnest(ARRAY[user_id, '']) AS w (whose)
  UNION ALL
  SELECT whose, ("timestamp" AT TIME ZONE 'UTC')::date, mint, environment, 1, received, false
  FROM transactions CROSS JOIN LATERAL unnest(ARRAY[user_id, '']) AS w (whose)
  WHERE claim_is_paid(status)
) AS held
GROUP BY user_id, day, mint, environment
HAVING coalesce(sum(received) FILTER (WHERE is_total), 0) <> coalesce(sum(received) FILTER (WHERE NOT is_total), 0)
  OR coalesce(sum(claims) FILTER (WHERE is_total), 0) <> coalesce(sum(claims) FILTER (WHERE NOT is_total), 0)
LIMIT :limit;

-- name: settled_payments_are_claimed
-- What is settled over x402 is held by a claim on its own transfer, or on one that a fork has just undone.
SELECT s.id::text AS subject, coalesce(c.received, 0) AS found, s.amount AS expected
FROM settlements AS s
LEFT JOIN transactions AS c ON c.id = s.claim_id AND claim_holds_transfer(c.status)
LEFT JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
WHERE s.status = 'settled'
  AND (t.signature IS DISTINCT FROM s.signature::text OR t.destination IS DISTINCT FROM s.destination::text
    OR t.mint IS DISTINCT FROM s.mint::text OR t.amount IS DISTINCT FROM s.amount::numeric)
LIMIT :limit;

-- name: failed_payments_moved_nothing
-- What is said to have failed over x402 has no transfer in the ledger; the worker has a minute to put that right.
SELECT s.id::text AS subject, t.amount AS found, 0 AS expected
FROM settlements AS s
JOIN transfers AS t ON t.signature = s.signature AND transfer_counts(t.finality, t.awaits_witness_since)
WHERE s.status = 'failed' AND t.recorded_at < clock_timestamp() - interval '1 minute'
LIMIT :limit;
