-- name: received_totals
-- What came in, by merchant and mint. Matched and unmatched add up to received; with what else was credited, which
-- `other_credits` names, that is all that the wallets were credited.
SELECT
  owner.user_id,
  t.mint,
  coalesce(token.symbol, t.mint) AS symbol,
  coalesce(token.decimals, 0)::int AS decimals,
  count(*) FILTER (WHERE way.is_payment)::int AS transfers,
  count(c.id) FILTER (WHERE way.is_payment)::int AS matched_transfers,
  coalesce(sum(t.amount - t.fee) FILTER (WHERE way.is_payment), 0) AS received,
  coalesce(sum(t.amount - t.fee) FILTER (WHERE way.is_payment AND c.id IS NOT NULL), 0) AS matched,
  coalesce(sum(t.amount - t.fee) FILTER (WHERE way.is_payment AND c.id IS NULL), 0) AS unmatched,
  sum(t.amount - t.fee) AS credited
FROM transfers AS t
JOIN recipients AS r ON r.address = t.destination_owner
LEFT JOIN tokens AS token ON token.mint = t.mint
LEFT JOIN transactions AS c
  ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
CROSS JOIN LATERAL (
  SELECT kind_is_payment(t.kind) AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
    AS is_payment
) AS way
CROSS JOIN LATERAL (
  -- Of a wallet that has changed hands, whose it was.
  SELECT CASE
    WHEN r.owned_since IS NULL THEN r.user_id
    ELSE wallet_user_at(t.destination_owner, paid_at(t.block_time, t.notified_at, t.recorded_at))
  END AS user_id
) AS owner
WHERE transfer_counts(t.finality, t.awaits_witness_since)
GROUP BY owner.user_id, t.mint, token.symbol, token.decimals
ORDER BY owner.user_id, t.mint;

-- name: other_credits
-- What else was credited, by merchant, mint and kind: `internal` moved between accounts of one owner, the other kinds
-- are those of transfers that nobody pays with, such as `mintTo`.
SELECT
  owner.user_id,
  t.mint,
  CASE WHEN kind_is_payment(t.kind) THEN 'internal' ELSE t.kind END AS kind,
  count(*)::int AS transfers,
  sum(t.amount - t.fee) AS credited
FROM transfers AS t
JOIN recipients AS r ON r.address = t.destination_owner
CROSS JOIN LATERAL (
  -- Of a wallet that has changed hands, whose it was.
  SELECT CASE
    WHEN r.owned_since IS NULL THEN r.user_id
    ELSE wallet_user_at(t.destination_owner, paid_at(t.block_time, t.notified_at, t.recorded_at))
  END AS user_id
) AS owner
WHERE transfer_counts(t.finality, t.awaits_witness_since)
  AND NOT (
    kind_is_payment(t.kind) AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
  )
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: claim_totals
-- Claims by merchant, mint and status.
SELECT user_id, mint, status::text AS status, count(*)::int AS claims, sum(amount) AS claimed,
  coalesce(sum(received), 0) AS received
FROM transactions
GROUP BY user_id, mint, status
ORDER BY user_id, mint, status;

-- name: findings
-- Everything that does not match, each with its kind: one row for each transfer, claim or request it is about. What is
-- paid is not kept: each of its two uses looks for few of a great many. Decisions are asked only for who needs them.
WITH paid AS NOT MATERIALIZED (
  SELECT t.signature, t.path, t.mint, t.amount - t.fee AS credited, t.source_owner, t.destination_owner,
    paid_at(t.block_time, t.notified_at, t.recorded_at) AS at, t.reference_keys, t.memos, c.id AS claim_id,
    CASE WHEN c.for_request THEN c.nonce END AS paid_nonce
  FROM transfers AS t
  LEFT JOIN transactions AS c
    ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
  WHERE transfer_counts(t.finality, t.awaits_witness_since)
    AND kind_is_payment(t.kind)
    AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
    AND t.destination_owner IN (SELECT address FROM recipients)
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
  SELECT 'unmatchedTransfer' AS kind,
    CASE WHEN r.owned_since IS NULL THEN r.user_id ELSE wallet_user_at(r.address, p.at) END AS user_id, p.signature, p.path, p.mint, p.credited AS amount,
    NULL::numeric AS expected, p.source_owner AS payer, p.destination_owner AS recipient, NULL::text AS nonce,
    NULL::uuid AS claim_id, NULL::text AS code, p.at
  FROM paid AS p
  JOIN recipients AS r ON r.address = p.destination_owner
  WHERE p.claim_id IS NULL
  UNION ALL
  SELECT 'unpaidClaim', c.user_id, c.signature, c.path, c.mint, coalesce(c.received, 0), c.amount, c.payer, c.recipient,
    c.nonce, c.id, coalesce(c.code, upper(c.status::text)), c."timestamp"
  FROM transactions AS c
  WHERE NOT claim_is_paid(c.status)
  UNION ALL
  SELECT 'latePayment', user_id, signature, path, mint, credited, amount, source_owner, destination_owner, nonce,
    claim_id, NULL, at
  FROM named
  WHERE at > expires_at
  UNION ALL
  SELECT 'shortPayment', n.user_id, n.signature, n.path, n.mint, n.credited, n.amount, n.source_owner,
    n.destination_owner, n.nonce, n.claim_id, NULL, n.at
  FROM named AS n
  WHERE n.credited < n.amount AND mint_counts_as(n.mint, n.request_mint)
    -- Not the one by which its request counts as paid; where none does, every one.
    AND (n.claim_id IS NULL OR n.claim_id IS DISTINCT FROM n.paid_by)
  UNION ALL
  SELECT 'shortPayment', c.user_id, c.signature, c.path, c.mint, coalesce(c.received, 0), c.amount, c.payer, c.recipient,
    c.nonce, c.id, c.code, c."timestamp"
  FROM transactions AS c
  WHERE claim_is_short(c.status, c.code)
  UNION ALL
  SELECT 'overPayment', c.user_id, c.signature, c.path, c.mint, c.received, c.amount, c.payer, c.recipient, c.nonce, c.id,
    NULL, c."timestamp"
  FROM transactions AS c
  WHERE claim_is_paid(c.status) AND c.received > c.amount
  UNION ALL
  SELECT 'duplicatePayment', user_id, signature, path, mint, credited, amount, source_owner, destination_owner, nonce,
    claim_id, NULL, at
  FROM named
  WHERE paid_by IS NOT NULL AND paid_by IS DISTINCT FROM claim_id
)
SELECT f.*,
  CASE
    WHEN :asks_decisions::boolean THEN (
      SELECT d.state = 'open'
      FROM finding_decided(
        finding_line(f.kind, f.user_id, f.signature, f.path, f.nonce, f.claim_id, f.payer, f.amount, f.expected)
      ) AS d
    )
  END AS is_open
FROM found AS f
ORDER BY kind, at, signature, path, nonce, claim_id;
