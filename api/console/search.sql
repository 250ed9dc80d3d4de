-- name: signatures_of_memo
-- Transactions with this memo that paid wallets of a user, or of everybody, the newest first.
SELECT t.signature, max(t.slot) AS slot
FROM transfers AS t
WHERE t.memos <> '{}' AND t.memos @> ARRAY[:memo::text]
  AND (
    :user_id::text IS NULL
    OR t.destination_owner IN (
      SELECT address FROM recipients WHERE user_id = :user_id
      UNION ALL
      SELECT address FROM former_recipients WHERE user_id = :user_id
    )
  )
GROUP BY t.signature
ORDER BY slot DESC
LIMIT :limit::int;

-- name: signature_of_nonce^
-- The transaction that honours the claim of this nonce at a merchant, or at any.
SELECT signature
FROM transactions
WHERE nonce = :nonce AND (:user_id::text IS NULL OR user_id = :user_id) AND claim_holds_transfer(status)
ORDER BY "timestamp" DESC
LIMIT 1;

-- name: count_wallets$
-- How many wallets of a user, or of everybody, an amount is looked for in, at most so many.
SELECT count(*)::int
FROM (
  SELECT address FROM recipients WHERE :user_id::text IS NULL OR user_id = :user_id
  UNION
  SELECT address FROM former_recipients WHERE user_id = :user_id
  LIMIT :wallets_max::int
) AS counted;

-- name: signatures_of_amount
-- Transactions that credited one of these amounts, in base units of its mint, to wallets of a user, or of everybody;
-- of each wallet its newest transfers are looked through.
SELECT t.signature, max(t.slot) AS slot
FROM (
  SELECT address FROM recipients WHERE :user_id::text IS NULL OR user_id = :user_id
  UNION
  SELECT address FROM former_recipients WHERE user_id = :user_id
  ORDER BY address
  LIMIT :wallets_max::int
) AS r
CROSS JOIN LATERAL (
  SELECT signature, slot, mint, amount - fee AS credited
  FROM transfers
  WHERE destination_owner = r.address
  ORDER BY slot DESC, signature, path
  LIMIT :looked_through::int
) AS t
WHERE (t.mint, t.credited) IN (SELECT mint, amount FROM unnest(:mints::text[], :amounts::numeric[]) AS w (mint, amount))
GROUP BY t.signature
ORDER BY slot DESC
LIMIT :limit::int;
