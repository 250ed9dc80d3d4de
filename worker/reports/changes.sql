-- name: fold_credit_changes^
-- Add the next noted changes of credits to what is kept, and say in which transactions findings may have changed.
--
-- What went to wallets of nobody here is left out: a wallet that becomes a recipient is counted as a whole.
WITH oldest AS MATERIALIZED (
  SELECT id, places, sum(places) OVER (ORDER BY id) AS places_so_far
  FROM (
    SELECT id, cardinality(slots) + cardinality(signatures) AS places
    FROM report_credit_changes
    ORDER BY id
    LIMIT :changes_max::int
  ) AS o
),
taken AS (
  DELETE FROM report_credit_changes
  WHERE id IN (SELECT id FROM oldest WHERE places_so_far - places < :transactions_max::int)
  RETURNING recipient, mint, kind, transfers, credited, slots, signatures
),
ours AS (
  SELECT t.* FROM taken AS t JOIN recipients AS r ON r.address = t.recipient
),
kept AS (
  INSERT INTO report_credits AS k (recipient, mint, kind, transfers, credited)
  SELECT recipient, mint, kind, sum(transfers), sum(credited)
  FROM ours
  GROUP BY recipient, mint, kind
  ON CONFLICT (recipient, mint, kind) DO UPDATE SET
    transfers = k.transfers + EXCLUDED.transfers,
    credited = k.credited + EXCLUDED.credited
),
landed AS (
  SELECT DISTINCT o.recipient, s.slot FROM ours AS o CROSS JOIN LATERAL unnest(o.slots) AS s (slot)
),
touched AS (
  SELECT t.signature::text AS signature
  FROM landed AS l JOIN transfers AS t ON t.destination_owner = l.recipient AND t.slot = l.slot
  UNION
  SELECT s.signature FROM ours AS o CROSS JOIN LATERAL unnest(o.signatures) AS s (signature)
)
SELECT
  (SELECT count(*) FROM taken)::int AS changes,
  (SELECT count(*) FROM oldest) > (SELECT count(*) FROM taken) AS is_bounded,
  (SELECT coalesce(array_agg(signature), '{}') FROM touched) AS signatures;

-- name: fold_claim_changes_of_reports^
-- Add the next noted changes of claims to what is kept; say which transfers were taken, and for which nonces.
WITH taken AS (
  DELETE FROM report_claim_changes
  WHERE id IN (SELECT id FROM report_claim_changes ORDER BY id LIMIT :changes_max::int)
  RETURNING user_id, mint, status, claims, claimed, received, short, overpaid, signatures, nonces
),
kept AS (
  INSERT INTO report_claims AS k (user_id, mint, status, claims, claimed, received, short, overpaid)
  SELECT user_id, mint, status, sum(claims), sum(claimed), sum(received), sum(short), sum(overpaid)
  FROM taken
  GROUP BY user_id, mint, status
  ON CONFLICT (user_id, mint, status) DO UPDATE SET
    claims = k.claims + EXCLUDED.claims,
    claimed = k.claimed + EXCLUDED.claimed,
    received = k.received + EXCLUDED.received,
    short = k.short + EXCLUDED.short,
    overpaid = k.overpaid + EXCLUDED.overpaid
)
SELECT
  (SELECT count(*) FROM taken)::int AS changes,
  (SELECT coalesce(array_agg(DISTINCT s), '{}') FROM taken, unnest(signatures) AS u (s)) AS signatures,
  (SELECT coalesce(array_agg(DISTINCT n), '{}') FROM taken, unnest(nonces) AS u (n)) AS nonces;

-- name: take_request_changes^
-- The next payment requests that were made, changed or removed.
WITH taken AS (
  DELETE FROM report_request_changes
  WHERE id IN (SELECT id FROM report_request_changes ORDER BY id LIMIT :changes_max::int)
  RETURNING nonces, reference_keys
)
SELECT
  (SELECT count(*) FROM taken)::int AS changes,
  (SELECT coalesce(array_agg(DISTINCT n), '{}') FROM taken, unnest(nonces) AS u (n)) AS nonces,
  (SELECT coalesce(array_agg(DISTINCT k), '{}') FROM taken, unnest(reference_keys) AS u (k)) AS reference_keys;

-- name: references_of_requests$
-- The reference keys of payment requests.
SELECT coalesce(array_agg(reference::text), '{}') FROM nonces WHERE nonce = ANY(:nonces::text[]);

-- name: transactions_naming
-- Transactions with a transfer that names any of these payment requests, by reference key or memo.
SELECT t.signature
FROM unnest(:reference_keys::text[]) AS k (reference_key)
JOIN transfers AS t ON t.reference_keys @> ARRAY[k.reference_key]
WHERE t.reference_keys <> '{}'
UNION
SELECT t.signature
FROM unnest(:nonces::text[]) AS n (nonce)
JOIN transfers AS t ON t.memos @> ARRAY[n.nonce]
WHERE t.memos <> '{}';

-- name: take_recipient_changes$
-- The wallets that are recipients now and were not, or the other way round, or that are another user's.
WITH taken AS (DELETE FROM report_recipient_changes RETURNING recipient)
SELECT coalesce(array_agg(DISTINCT recipient::text), '{}') FROM taken;

-- name: forget_credits!
-- Forget what is kept of some wallets, or of all, and which changes of theirs are noted: they are counted anew.
WITH changes AS (
  DELETE FROM report_credit_changes WHERE :recipients::text[] IS NULL OR recipient = ANY(:recipients)
),
findings AS (
  DELETE FROM report_findings WHERE :recipients::text[] IS NULL OR recipient = ANY(:recipients)
),
totals AS (
  DELETE FROM report_finding_totals WHERE :recipients::text[] IS NULL OR recipient = ANY(:recipients)
)
DELETE FROM report_credits WHERE :recipients::text[] IS NULL OR recipient = ANY(:recipients);

-- name: count_credits!
-- Count what some wallets, or all, were credited.
INSERT INTO report_credits (recipient, mint, kind, transfers, credited)
SELECT t.destination_owner, t.mint,
  credit_kind(t.kind, t.source, t.destination, t.source_owner, t.destination_owner),
  count(*), sum(t.amount - t.fee)
FROM transfers AS t
JOIN recipients AS r ON r.address = t.destination_owner
WHERE transfer_counts(t.finality, t.awaits_witness_since) AND (:recipients::text[] IS NULL OR t.destination_owner = ANY(:recipients))
GROUP BY 1, 2, 3;

-- name: transactions_to_examine
-- Of some wallets, or of all, the transactions with a transfer of which there may be something to find.
SELECT DISTINCT t.signature
FROM transfers AS t
JOIN recipients AS r ON r.address = t.destination_owner
LEFT JOIN transactions AS c
  ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
WHERE transfer_counts(t.finality, t.awaits_witness_since)
  AND (:recipients::text[] IS NULL OR t.destination_owner = ANY(:recipients))
  AND (c.id IS NULL OR t.reference_keys <> '{}' OR t.memos <> '{}');

-- name: forget_claims!
-- Forget what is kept of claims, and which changes of theirs are noted: they are counted anew.
WITH changes AS (DELETE FROM report_claim_changes),
requests AS (DELETE FROM report_request_changes),
recipients AS (DELETE FROM report_recipient_changes)
DELETE FROM report_claims;

-- name: count_all_claims!
-- Count all claims.
INSERT INTO report_claims (user_id, mint, status, claims, claimed, received, short, overpaid)
SELECT user_id, mint, status, count(*), sum(amount), coalesce(sum(received), 0),
  count(*) FILTER (WHERE claim_is_short(status, code)),
  count(*) FILTER (WHERE claim_is_paid(status) AND received > amount)
FROM transactions
GROUP BY user_id, mint, status;

-- name: forget_findings!
-- Forget what was found about the transfers of some transactions.
WITH gone AS (
  DELETE FROM report_findings WHERE signature = ANY(:signatures::text[])
  RETURNING kind, recipient, mint, amount
),
fewer AS (
  SELECT kind, recipient, mint, count(*) AS findings, sum(amount) AS amount FROM gone GROUP BY kind, recipient, mint
)
UPDATE report_finding_totals AS k
SET findings = k.findings - f.findings, amount = k.amount - f.amount
FROM fewer AS f
WHERE k.kind = f.kind AND k.recipient = f.recipient AND k.mint = f.mint;

-- name: find_findings!
-- Find what does not match about the transfers of some transactions, as `findings` does for all of them.
WITH paid AS MATERIALIZED (
  SELECT t.signature, t.path, t.mint, t.amount - t.fee AS credited, t.source_owner, t.destination_owner,
    paid_at(t.block_time, t.notified_at, t.recorded_at) AS at, t.reference_keys, t.memos, c.id AS claim_id,
    CASE WHEN c.for_request THEN c.nonce END AS paid_nonce,
    -- A former owner's, where the wallet has changed hands.
    CASE
      WHEN r.owned_since IS NOT NULL
        THEN wallet_user_at(t.destination_owner, paid_at(t.block_time, t.notified_at, t.recorded_at))
    END AS former_user_id
  FROM unnest(:signatures::text[]) AS s (signature)
  JOIN transfers AS t ON t.signature = s.signature
  JOIN recipients AS r ON r.address = t.destination_owner
  LEFT JOIN transactions AS c
    ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
  WHERE transfer_counts(t.finality, t.awaits_witness_since)
    AND credit_kind(t.kind, t.source, t.destination, t.source_owner, t.destination_owner) = 'payment'
),
named AS (
  SELECT DISTINCT ON (p.signature, p.path, n.nonce)
    p.*, n.nonce, n.user_id, n.mint AS request_mint, n.amount, n.expires_at,
    (
      SELECT o.id FROM transactions AS o
      WHERE o.user_id = n.user_id AND o.nonce = n.nonce AND claim_holds_transfer(o.status)
    ) AS paid_by
  FROM paid AS p
  CROSS JOIN LATERAL (
    SELECT q.* FROM nonces AS q WHERE q.reference = ANY(p.reference_keys)
    UNION ALL
    SELECT q.* FROM nonces AS q WHERE q.nonce = ANY(p.memos)
  ) AS n
  WHERE (p.reference_keys <> '{}' OR p.memos <> '{}') AND n.recipient = p.destination_owner
    AND wallet_was_of(n.recipient, n.user_id, p.at)
    AND (p.paid_nonce IS NULL OR p.paid_nonce = n.nonce)
),
found AS (
  SELECT 'unmatchedTransfer' AS kind, signature, path, former_user_id AS user_id, mint, credited AS amount,
    NULL::numeric AS expected, source_owner AS payer, destination_owner AS recipient, NULL::text AS nonce,
    NULL::uuid AS claim_id, at
  FROM paid
  WHERE claim_id IS NULL
  UNION ALL
  SELECT 'latePayment', signature, path, user_id, mint, credited, amount, source_owner, destination_owner, nonce,
    claim_id, at
  FROM named
  WHERE at > expires_at
  UNION ALL
  SELECT 'shortPayment', signature, path, user_id, mint, credited, amount, source_owner, destination_owner, nonce,
    claim_id, at
  FROM named
  WHERE credited < amount AND mint_counts_as(mint, request_mint)
    AND (claim_id IS NULL OR claim_id IS DISTINCT FROM paid_by)
  UNION ALL
  SELECT 'duplicatePayment', signature, path, user_id, mint, credited, amount, source_owner, destination_owner, nonce,
    claim_id, at
  FROM named
  WHERE paid_by IS NOT NULL AND paid_by IS DISTINCT FROM claim_id
),
kept AS (
  INSERT INTO report_findings (
    kind, signature, path, user_id, mint, amount, expected, payer, recipient, nonce, claim_id, at
  )
  SELECT kind, signature, path, user_id, mint, amount, expected, payer, recipient, nonce, claim_id, at FROM found
)
INSERT INTO report_finding_totals AS k (kind, recipient, mint, findings, amount)
SELECT kind, recipient, mint, count(*), sum(amount) FROM found GROUP BY kind, recipient, mint
ON CONFLICT (kind, recipient, mint) DO UPDATE SET
  findings = k.findings + EXCLUDED.findings,
  amount = k.amount + EXCLUDED.amount;

-- name: report_state_of_counts^
-- Since when what is kept is counted, and when it was last compared with the whole ledger.
SELECT counted_at, checked_at FROM report_state;

-- name: note_counted!
-- What is kept was counted from the whole ledger, or compared with it.
UPDATE report_state SET
  counted_at = CASE WHEN :is_counted::boolean THEN clock_timestamp() ELSE counted_at END,
  checked_at = clock_timestamp();
