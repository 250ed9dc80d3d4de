-- name: add_request^
-- Register a payment request. Nothing where its wallet is of another environment by now than was seen: this waits for
-- whoever makes it one for tests, or that for this.
WITH wallet AS (
  SELECT environment FROM recipients WHERE address = :recipient::text FOR SHARE
),
added AS (
  INSERT INTO nonces (
    nonce, user_id, recipient, mint, currency, amount, resource, scheme, metadata, reference, environment, expires_at,
    proof_version, final_only
  )
  SELECT
    :nonce::text, :user_id::text, :recipient::text, :mint::text, :currency::text, :amount::numeric, :resource::text,
    :scheme::text, :metadata::jsonb, :reference::text, :environment::text, :expires_at::timestamptz,
    :proof_version::smallint, :final_only::boolean
  WHERE NOT EXISTS (SELECT FROM wallet AS w WHERE w.environment <> :wallet_environment::text)
  RETURNING *
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'request.created', nonce, user_id, jsonb_build_object('mint', mint, 'amount', amount::text) FROM added
)
SELECT
  nonce, user_id, recipient, mint, currency, amount, resource, scheme, metadata, reference, environment, created_at,
  expires_at, proof_version, final_only
FROM added;

-- name: find_request^
-- A payment request with the claim that it was paid by, or else the first one that waits for its payment.
SELECT
  n.nonce, n.user_id, n.recipient, n.mint, n.currency, n.amount, n.resource, n.scheme, n.metadata, n.reference,
  n.environment, n.created_at, n.expires_at, n.proof_version, n.final_only,
  c.status AS claim_status,
  c.payer,
  c.signature,
  c."timestamp" AS claimed_at
FROM nonces AS n
LEFT JOIN LATERAL (
  SELECT *
  FROM transactions AS c
  WHERE c.user_id = n.user_id AND c.nonce = n.nonce
  ORDER BY claim_holds_transfer(c.status) DESC, c.status = 'pending' DESC, c."timestamp"
  LIMIT 1
) AS c ON true
WHERE n.nonce = :nonce;

-- name: page_of_requests
-- A merchant's payment requests with their claims, newest first, from a place on.
SELECT
  n.nonce, n.user_id, n.recipient, n.mint, n.currency, n.amount, n.resource, n.scheme, n.metadata, n.reference,
  n.environment, n.created_at, n.expires_at, n.proof_version, n.final_only,
  c.status AS claim_status,
  c.payer,
  c.signature,
  c."timestamp" AS claimed_at
FROM (
  SELECT *
  FROM nonces
  WHERE user_id = :user_id::text
    AND (:created_at::timestamptz IS NULL OR created_at <= :created_at)
    AND (:created_at::timestamptz IS NULL OR (created_at, nonce) < (:created_at, :nonce::text))
  ORDER BY created_at DESC, nonce DESC
  LIMIT :limit::int
) AS n
LEFT JOIN LATERAL (
  SELECT *
  FROM transactions AS c
  WHERE c.user_id = n.user_id AND c.nonce = n.nonce
  ORDER BY claim_holds_transfer(c.status) DESC, c.status = 'pending' DESC, c."timestamp"
  LIMIT 1
) AS c ON true
ORDER BY n.created_at DESC, n.nonce DESC;

-- name: page_of_all_requests
-- Everybody's payment requests with their claims, newest first, from a place on.
SELECT
  n.nonce, n.user_id, n.recipient, n.mint, n.currency, n.amount, n.resource, n.scheme, n.metadata, n.reference,
  n.environment, n.created_at, n.expires_at, n.proof_version, n.final_only,
  c.status AS claim_status,
  c.payer,
  c.signature,
  c."timestamp" AS claimed_at
FROM (
  SELECT *
  FROM nonces
  WHERE (:created_at::timestamptz IS NULL OR created_at <= :created_at)
    AND (:created_at::timestamptz IS NULL OR (created_at, nonce) < (:created_at, :nonce::text))
  ORDER BY created_at DESC, nonce DESC
  LIMIT :limit::int
) AS n
LEFT JOIN LATERAL (
  SELECT *
  FROM transactions AS c
  WHERE c.user_id = n.user_id AND c.nonce = n.nonce
  ORDER BY claim_holds_transfer(c.status) DESC, c.status = 'pending' DESC, c."timestamp"
  LIMIT 1
) AS c ON true
ORDER BY n.created_at DESC, n.nonce DESC;

-- name: count_open_requests$
-- How many payment requests are unpaid and have not expired, up to `count_max`.
SELECT count(*)::int
FROM (
  SELECT FROM nonces AS n
  WHERE n.expired_at IS NULL AND n.expires_at > now()
    AND (:user_id::text IS NULL OR n.user_id = :user_id)
    AND NOT EXISTS (
      SELECT FROM transactions AS c
      WHERE c.user_id = n.user_id AND c.nonce = n.nonce AND claim_holds_transfer(c.status)
    )
  LIMIT :count_max::int
) AS counted;

-- name: transfers_of_request
-- The payments to a request's wallet, while it was its merchant's, that name it by reference or nonce, or honour it.
SELECT
  t.signature, t.path, t.slot, t.block_time, t.kind, t.mint, t.source_owner, t.destination_owner, t.fee,
  t.amount - t.fee AS credited, shown_finality(t.finality, t.awaits_witness_since) AS finality, t.memos,
  c.id AS claim_id, c.nonce AS claim_nonce, c.status AS claim_status,
  paid_at(t.block_time, t.notified_at, t.recorded_at) AS paid_at,
  coalesce(c.for_request AND c.nonce <> :nonce::text, false) AS pays_another
FROM (
  SELECT * FROM transfers WHERE reference_keys <> '{}' AND reference_keys @> ARRAY[:reference::text]
  UNION
  SELECT * FROM transfers WHERE memos <> '{}' AND memos @> ARRAY[:nonce::text]
  UNION
  SELECT h.*
  FROM transactions AS o
  JOIN transfers AS h ON h.signature = o.signature AND h.path = o.path
  WHERE o.user_id = :user_id AND o.nonce = :nonce AND claim_holds_transfer(o.status)
) AS t
LEFT JOIN transactions AS c ON c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
WHERE t.destination_owner = :recipient AND t.finality <> 'orphaned'
  AND (
    wallet_was_of(:recipient::text, :user_id::text, paid_at(t.block_time, t.notified_at, t.recorded_at))
    OR coalesce(c.user_id = :user_id AND c.nonce = :nonce, false)
  )
  AND kind_is_payment(t.kind)
  AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
ORDER BY t.slot, t.signature, t.path;
