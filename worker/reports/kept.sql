-- name: kept_received_totals
-- What came in, by merchant and mint, as it is kept: what `received_totals` counts.
WITH handed_over AS MATERIALIZED (
  SELECT DISTINCT address FROM former_recipients
),
credits AS (
  SELECT r.user_id, k.recipient, k.mint, k.kind, k.transfers, k.credited
  FROM report_credits AS k
  JOIN recipients AS r ON r.address = k.recipient
  WHERE k.recipient NOT IN (SELECT address FROM handed_over)
  UNION ALL
  -- What is kept by wallet does not say to whom of several owners it was paid.
  SELECT wallet_user_at(t.destination_owner, paid_at(t.block_time, t.notified_at, t.recorded_at)), t.destination_owner,
    t.mint, credit_kind(t.kind, t.source, t.destination, t.source_owner, t.destination_owner), count(*),
    sum(t.amount - t.fee)
  FROM handed_over AS h
  JOIN transfers AS t ON t.destination_owner = h.address
  WHERE transfer_counts(t.finality, t.awaits_witness_since)
  GROUP BY 1, 2, 3, 4
),
received AS (
  SELECT user_id, recipient, mint,
    coalesce(sum(transfers) FILTER (WHERE kind = 'payment'), 0) AS transfers,
    coalesce(sum(credited) FILTER (WHERE kind = 'payment'), 0) AS received,
    sum(credited) AS credited,
    sum(transfers) AS all_transfers
  FROM credits
  GROUP BY user_id, recipient, mint
),
unmatched AS (
  SELECT r.user_id, f.recipient, f.mint, f.findings, f.amount
  FROM report_finding_totals AS f
  JOIN recipients AS r ON r.address = f.recipient
  WHERE f.kind = 'unmatchedTransfer' AND f.recipient NOT IN (SELECT address FROM handed_over)
  UNION ALL
  SELECT coalesce(f.user_id, r.user_id), f.recipient, f.mint, count(*), sum(f.amount)
  FROM handed_over AS h
  JOIN report_findings AS f ON f.recipient = h.address
  JOIN recipients AS r ON r.address = f.recipient
  WHERE f.kind = 'unmatchedTransfer'
  GROUP BY 1, 2, 3
)
SELECT
  k.user_id,
  k.mint,
  coalesce(token.symbol, k.mint) AS symbol,
  coalesce(token.decimals, 0)::int AS decimals,
  sum(k.transfers)::int AS transfers,
  sum(k.transfers - coalesce(f.findings, 0))::int AS matched_transfers,
  sum(k.received) AS received,
  sum(k.received - coalesce(f.amount, 0)) AS matched,
  sum(coalesce(f.amount, 0)) AS unmatched,
  sum(k.credited) AS credited
FROM received AS k
LEFT JOIN tokens AS token ON token.mint = k.mint
LEFT JOIN unmatched AS f ON f.user_id = k.user_id AND f.recipient = k.recipient AND f.mint = k.mint
GROUP BY k.user_id, k.mint, token.symbol, token.decimals
HAVING sum(k.all_transfers) <> 0
ORDER BY k.user_id, k.mint;

-- name: kept_other_credits
-- What else was credited, by merchant, mint and kind, as it is kept: what `other_credits` counts.
WITH handed_over AS MATERIALIZED (
  SELECT DISTINCT address FROM former_recipients
),
credits AS (
  SELECT r.user_id, k.recipient, k.mint, k.kind, k.transfers, k.credited
  FROM report_credits AS k
  JOIN recipients AS r ON r.address = k.recipient
  WHERE k.recipient NOT IN (SELECT address FROM handed_over)
  UNION ALL
  -- What is kept by wallet does not say to whom of several owners it was paid.
  SELECT wallet_user_at(t.destination_owner, paid_at(t.block_time, t.notified_at, t.recorded_at)), t.destination_owner,
    t.mint, credit_kind(t.kind, t.source, t.destination, t.source_owner, t.destination_owner), count(*),
    sum(t.amount - t.fee)
  FROM handed_over AS h
  JOIN transfers AS t ON t.destination_owner = h.address
  WHERE transfer_counts(t.finality, t.awaits_witness_since)
  GROUP BY 1, 2, 3, 4
)
SELECT user_id, mint, kind, sum(transfers)::int AS transfers, sum(credited) AS credited
FROM credits
WHERE kind <> 'payment'
GROUP BY user_id, mint, kind
HAVING sum(transfers) <> 0
ORDER BY user_id, mint, kind;

-- name: kept_claim_totals
-- Claims by merchant, mint and status, as they are kept: what `claim_totals` counts.
SELECT user_id, mint, status::text AS status, claims::int AS claims, claimed, received
FROM report_claims
WHERE claims <> 0
ORDER BY user_id, mint, status;

-- name: kept_finding_counts^
-- How many findings of each kind there are.
SELECT
  (SELECT coalesce(sum(claims), 0) FROM report_claims WHERE NOT claim_is_paid(status))::int AS unpaid,
  (SELECT coalesce(sum(overpaid), 0) FROM report_claims)::int AS overpaid,
  (SELECT coalesce(sum(short), 0) FROM report_claims)::int AS short_claims,
  coalesce(sum(findings) FILTER (WHERE kind = 'unmatchedTransfer'), 0)::int AS unmatched,
  coalesce(sum(findings) FILTER (WHERE kind = 'latePayment'), 0)::int AS late,
  coalesce(sum(findings) FILTER (WHERE kind = 'shortPayment'), 0)::int AS short_payments,
  coalesce(sum(findings) FILTER (WHERE kind = 'duplicatePayment'), 0)::int AS duplicate
FROM report_finding_totals;

-- name: kept_findings
-- The first findings of a kind about transfers: open ones, or those that somebody has decided about.
--
-- Here as in the statements below, findings are taken by age from an index and asked about one by one until there are
-- enough: what is read besides is what was decided. The plan keeps that order, for a sort comes before what is looked up.
SELECT k.*
FROM (
  SELECT o.*
  FROM (
    SELECT f.kind, coalesce(f.user_id, r.user_id) AS user_id, f.signature, f.path, f.mint, f.amount, f.expected, f.payer,
      f.recipient, f.nonce, f.claim_id, NULL::text AS code, f.at
    FROM report_findings AS f
    JOIN recipients AS r ON r.address = f.recipient
    WHERE f.kind = :kind
    ORDER BY f.at, f.signature, f.path, f.nonce, f.claim_id
  ) AS o
  CROSS JOIN LATERAL finding_decided(
    finding_line(o.kind, o.user_id, o.signature, o.path, o.nonce, o.claim_id, o.payer, o.amount, o.expected)
  ) AS d
  WHERE (d.state = 'open') = :is_open::boolean
  LIMIT :limit::int
) AS k
ORDER BY k.at, k.signature, k.path, k.nonce, k.claim_id;

-- name: unpaid_findings
-- The first claims that are not paid, open or decided as above.
SELECT k.*
FROM (
  SELECT o.*
  FROM (
    SELECT 'unpaidClaim' AS kind, user_id, signature, path, mint, coalesce(received, 0) AS amount, amount AS expected,
      payer, recipient, nonce, id AS claim_id, coalesce(code, upper(status::text)) AS code, "timestamp" AS at
    FROM transactions
    WHERE NOT claim_is_paid(status)
    ORDER BY "timestamp", signature, path, nonce, id
  ) AS o
  CROSS JOIN LATERAL finding_decided(
    finding_line(o.kind, o.user_id, o.signature, o.path, o.nonce, o.claim_id, o.payer, o.amount, o.expected)
  ) AS d
  WHERE (d.state = 'open') = :is_open::boolean
  LIMIT :limit::int
) AS k
ORDER BY k.at, k.signature, k.path, k.nonce, k.claim_id;

-- name: overpaid_findings
-- The first claims that were paid more than they ask for, open or decided as above.
SELECT k.*
FROM (
  SELECT o.*
  FROM (
    SELECT 'overPayment' AS kind, user_id, signature, path, mint, received AS amount, amount AS expected, payer,
      recipient, nonce, id AS claim_id, NULL::text AS code, "timestamp" AS at
    FROM transactions
    WHERE claim_is_paid(status) AND received > transactions.amount
    ORDER BY "timestamp", signature, path, nonce, id
  ) AS o
  CROSS JOIN LATERAL finding_decided(
    finding_line(o.kind, o.user_id, o.signature, o.path, o.nonce, o.claim_id, o.payer, o.amount, o.expected)
  ) AS d
  WHERE (d.state = 'open') = :is_open::boolean
  LIMIT :limit::int
) AS k
ORDER BY k.at, k.signature, k.path, k.nonce, k.claim_id;

-- name: short_claim_findings
-- The first claims that were refused because their transfer was too little, open or decided as above.
SELECT k.*
FROM (
  SELECT o.*
  FROM (
    SELECT 'shortPayment' AS kind, user_id, signature, path, mint, coalesce(received, 0) AS amount, amount AS expected,
      payer, recipient, nonce, id AS claim_id, code, "timestamp" AS at
    FROM transactions
    WHERE claim_is_short(status, code)
    ORDER BY "timestamp", signature, path, nonce, id
  ) AS o
  CROSS JOIN LATERAL finding_decided(
    finding_line(o.kind, o.user_id, o.signature, o.path, o.nonce, o.claim_id, o.payer, o.amount, o.expected)
  ) AS d
  WHERE (d.state = 'open') = :is_open::boolean
  LIMIT :limit::int
) AS k
ORDER BY k.at, k.signature, k.path, k.nonce, k.claim_id;
