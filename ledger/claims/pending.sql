-- name: record_pending^
-- Remember a claim whose transaction is not in the ledger yet; repeating it brings its terms up to date.
-- Nothing new is remembered beyond `pending_max` pending claims of a merchant, or `pending_of_nonce_max` with one nonce: who knows
-- no more than the nonce of a payment request could otherwise use up what its merchant may have pending.
WITH made AS (
  INSERT INTO transactions AS c (
    user_id, nonce, signature, payer, recipient, mint, currency, amount, least_amount, exact, final_only, resource,
    agent_id, environment, for_request, status
  )
  SELECT
    :user_id::text, :nonce::text, :signature::text, :payer::text, :recipient::text, :mint::text, :currency::text,
    :amount::numeric, :least_amount::numeric, :exact::boolean, :final_only::boolean, :resource::text,
    :agent_id::text, :environment::text,
    EXISTS (SELECT FROM nonces AS n WHERE n.nonce = :nonce::text AND n.user_id = :user_id::text), 'pending'
  WHERE (
    SELECT count(*)
    FROM (SELECT FROM transactions WHERE user_id = :user_id::text AND status = 'pending' LIMIT :pending_max::int) AS waiting
  ) < :pending_max::int AND (
    SELECT count(*) FROM transactions WHERE user_id = :user_id::text AND nonce = :nonce::text AND status = 'pending'
  ) < :pending_of_nonce_max::int OR EXISTS (
    SELECT FROM transactions
    WHERE user_id = :user_id::text AND nonce = :nonce::text AND signature = :signature::text AND payer = :payer::text
  )
  ON CONFLICT (user_id, nonce, signature, payer) DO UPDATE SET
    recipient = EXCLUDED.recipient, mint = EXCLUDED.mint, currency = EXCLUDED.currency, amount = EXCLUDED.amount,
    least_amount = EXCLUDED.least_amount, exact = EXCLUDED.exact, final_only = EXCLUDED.final_only,
    resource = EXCLUDED.resource, environment = EXCLUDED.environment
  -- A test key leaves the claim of a live one as it is.
  WHERE c.status = 'pending' AND (EXCLUDED.environment = 'live' OR c.environment = 'test')
  RETURNING id, "timestamp", (xmax = 0) AS is_new
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.pending', id::text, :user_id::text, :agent_id::text, jsonb_build_object('signature', :signature::text)
  FROM made WHERE is_new
)
SELECT id, "timestamp" FROM made;

-- name: settle_pending^
-- These pending claims come to nothing, each for its reason.
WITH wanted AS (
  SELECT * FROM unnest(:ids::uuid[], :statuses::text[], :codes::text[]) AS w (id, status, code)
),
settled AS (
  UPDATE transactions AS c
  SET status = w.status::claim_status, code = w.code, settled_at = clock_timestamp()
  FROM wanted AS w
  WHERE c.id = w.id AND c.status::text = 'pending'
  RETURNING c.id, c.user_id, c.agent_id, c.status, c.code, c.signature
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.' || status, id::text, user_id, agent_id, jsonb_build_object('signature', signature, 'code', code)
  FROM settled
)
SELECT count(*)::int AS settled FROM settled;
