-- name: record_pending^
-- Remember a claim whose transaction is not in the ledger yet; repeating it brings its terms up to date.
--
-- Each merchant has two bounds, one for what is claimed with its keys and one for what strangers claim, who need know no
-- more than the nonce of a payment request; with one nonce either has a smaller one. Test keys have bounds of their own.
-- Beyond them nothing new is remembered of whoever has a key. A stranger's claim takes the place of another: the oldest
-- of the client that has most of them, so that whoever claims much displaces its own claims and nobody else's.
WITH wanted AS (
  SELECT :user_id::text AS user_id, :nonce::text AS nonce, :signature::text AS signature, :payer::text AS payer,
    :recipient::text AS recipient, :mint::text AS mint, :currency::text AS currency, :amount::numeric AS amount,
    :least_amount::numeric AS least_amount, :exact::boolean AS exact, :final_only::boolean AS final_only,
    :resource::text AS resource, :agent_id::text AS agent_id, :environment::text AS environment,
    EXISTS (SELECT FROM nonces AS n WHERE n.nonce = :nonce::text AND n.user_id = :user_id::text) AS for_request,
    :claimed_from::smallint AS claimed_from
),
room AS (
  SELECT
    EXISTS (
      SELECT FROM transactions AS c
      WHERE c.user_id = w.user_id AND c.nonce = w.nonce AND c.signature = w.signature AND c.payer = w.payer
    ) AS is_known,
    (
      SELECT count(*) FROM (
        SELECT FROM transactions AS c
        WHERE c.user_id = w.user_id AND c.status = 'pending' AND c.environment = w.environment
          AND (c.claimed_from IS NULL) = (w.claimed_from IS NULL)
        LIMIT :pending_max::int
      ) AS waiting
    ) >= :pending_max::int AS is_full,
    (
      SELECT count(*) FROM transactions AS c
      WHERE c.user_id = w.user_id AND c.nonce = w.nonce AND c.status::text = 'pending' AND c.environment = w.environment
        AND (c.claimed_from IS NULL) = (w.claimed_from IS NULL)
    ) >= :pending_of_nonce_max::int AS is_nonce_full
  FROM wanted AS w
),
made AS (
  INSERT INTO transactions AS c (
    user_id, nonce, signature, payer, recipient, mint, currency, amount, least_amount, exact, final_only, resource,
    agent_id, environment, for_request, claimed_from, status
  )
  SELECT w.*, 'pending' FROM wanted AS w, room
  WHERE is_known OR NOT (is_full OR is_nonce_full)
  ON CONFLICT (user_id, nonce, signature, payer) DO UPDATE SET
    recipient = EXCLUDED.recipient, mint = EXCLUDED.mint, currency = EXCLUDED.currency, amount = EXCLUDED.amount,
    least_amount = EXCLUDED.least_amount, exact = EXCLUDED.exact, final_only = EXCLUDED.final_only,
    resource = EXCLUDED.resource, environment = EXCLUDED.environment, claimed_from = EXCLUDED.claimed_from
  -- A test key leaves the claim of a live one as it is, and a stranger that of whoever has a key.
  WHERE c.status = 'pending' AND (EXCLUDED.environment = 'live' OR c.environment = 'test')
    AND (EXCLUDED.claimed_from IS NULL OR c.claimed_from IS NOT NULL)
  RETURNING id, "timestamp", (xmax = 0) AS is_new
),
shares AS (
  SELECT c.id, c."timestamp", c.claimed_from = w.claimed_from AS is_own,
    count(*) OVER (PARTITION BY c.claimed_from) AS claims
  FROM wanted AS w, room, transactions AS c
  WHERE NOT is_known AND (is_full OR is_nonce_full) AND w.claimed_from IS NOT NULL
    AND c.user_id = w.user_id AND c.status = 'pending' AND c.environment = w.environment
    AND c.claimed_from IS NOT NULL AND (c.nonce = w.nonce OR NOT is_nonce_full)
),
replaced AS (
  -- A new id: whoever is about to give the former claim its transfer finds it no more.
  UPDATE transactions AS c
  SET id = gen_random_uuid(), nonce = w.nonce, signature = w.signature, payer = w.payer, recipient = w.recipient,
    mint = w.mint, currency = w.currency, amount = w.amount, least_amount = w.least_amount, exact = w.exact,
    final_only = w.final_only, resource = w.resource, agent_id = w.agent_id, for_request = w.for_request,
    claimed_from = w.claimed_from, missing_at_height = NULL, "timestamp" = clock_timestamp()
  FROM wanted AS w, (SELECT id FROM shares ORDER BY claims DESC, is_own DESC, "timestamp", id LIMIT 1) AS former
  WHERE c.id = former.id AND c.status::text = 'pending'
  RETURNING c.id, c."timestamp", true AS is_new
),
remembered AS (
  SELECT * FROM made
  UNION ALL
  SELECT * FROM replaced
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.pending', id::text, :user_id::text, :agent_id::text, jsonb_build_object('signature', :signature::text)
  FROM remembered WHERE is_new
)
SELECT id, "timestamp" FROM remembered;

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
