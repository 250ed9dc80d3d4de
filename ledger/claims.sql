-- name: claim_contexts
-- All that is known about some proofs: one row for each transfer of their transactions, or one without.
--
-- The merchant is who asks, or else whose payment request it is; an admin may name the wallet of any. A nonce is used
-- by a claim of this merchant's, or, unless it is a payment request of theirs, by one of this payer's with any. What is laterally
-- joined is looked up row by row in its index, however many claims the planner believes there to be: it learns of them late.
-- What is compared by IS NOT DISTINCT FROM cannot lead it to another index: one of all the claims of a merchant or payer.
SELECT
  p.n::int AS n,
  merchant.user_id,
  wallet.address IS NOT NULL AS has_wallets,
  coalesce(named.active, false) AS named_is_followed,
  request.nonce IS NOT NULL AS is_registered,
  request.recipient AS request_recipient,
  request.mint AS request_mint,
  request.currency AS request_currency,
  request.amount AS request_amount,
  request.scheme AS request_scheme,
  request.resource AS request_resource,
  request.environment AS request_environment,
  request.expires_at AS request_expires_at,
  request.final_only AS request_final_only,
  request.proof_version AS request_proof_version,
  used.id AS used_id,
  used.user_id AS used_user_id,
  used.signature AS used_signature,
  used.path AS used_path,
  used.payer AS used_payer,
  used.answered_at AS used_answered_at,
  used.asked_with AS used_asked_with,
  proof.id AS proof_id,
  proof.status AS proof_status,
  proof.code AS proof_code,
  t.path,
  t.slot,
  t.mint,
  t.source_owner,
  t.destination_owner,
  t.authority,
  t.amount - t.fee AS credited,
  t.finality = 'finalized' AS is_final,
  paid_at(t.block_time, t.notified_at, t.recorded_at) AS paid_at,
  taker.id AS taken_by,
  coalesce(
    paid.active AND paid.user_id = merchant.user_id AND (
      paid.owned_since IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) >= paid.owned_since
    ),
    false
  ) AS is_to_merchant,
  CASE WHEN t.reference_keys <> '{}' OR t.memos <> '{}' THEN coalesce(
    (
      SELECT bool_and(n.nonce <> p.nonce)
      FROM (
        SELECT nonce FROM nonces WHERE reference = ANY(t.reference_keys) AND recipient = t.destination_owner
        UNION ALL
        SELECT nonce FROM nonces WHERE nonce = ANY(t.memos) AND recipient = t.destination_owner
        UNION ALL
        SELECT nonce FROM job_requests
        WHERE reference = ANY(t.reference_keys) AND settlement_wallet = t.destination_owner
        UNION ALL
        SELECT nonce FROM job_requests WHERE nonce = ANY(t.memos) AND settlement_wallet = t.destination_owner
      ) AS n
    ),
    false
  ) ELSE false END AS names_another
FROM unnest(
  :user_ids::text[], :nonces::text[], :signatures::text[], :payers::text[], :recipients::text[], :by_names::boolean[]
) WITH ORDINALITY AS p (user_id, nonce, signature, payer, recipient, by_name, n)
LEFT JOIN nonces AS request
  ON request.nonce = p.nonce AND (p.user_id IS NULL OR request.user_id = p.user_id)
LEFT JOIN recipients AS named ON named.address = p.recipient
CROSS JOIN LATERAL (
  SELECT coalesce(p.user_id, request.user_id, CASE WHEN p.by_name THEN named.user_id END) AS user_id
) AS merchant
LEFT JOIN LATERAL (
  SELECT r.address FROM recipients AS r WHERE r.user_id = merchant.user_id AND r.active LIMIT 1
) AS wallet ON true
LEFT JOIN LATERAL (
  SELECT * FROM transactions AS c
  WHERE c.nonce = p.nonce
    AND (
      c.user_id IS NOT DISTINCT FROM merchant.user_id
      OR request.nonce IS NULL AND c.payer IS NOT DISTINCT FROM p.payer
    )
    AND claim_holds_transfer(c.status)
  ORDER BY c.user_id IS NOT DISTINCT FROM merchant.user_id DESC
  LIMIT 1
) AS used ON true
LEFT JOIN LATERAL (
  SELECT * FROM transactions AS c
  WHERE c.nonce = p.nonce AND c.signature = p.signature
    AND c.payer IS NOT DISTINCT FROM p.payer AND c.user_id IS NOT DISTINCT FROM merchant.user_id
  LIMIT 1
) AS proof ON true
LEFT JOIN transfers AS t
  -- What only one node has seen is not there yet.
  ON t.signature = p.signature AND t.finality <> 'orphaned' AND t.awaits_witness_since IS NULL
  AND kind_is_payment(t.kind)
LEFT JOIN recipients AS paid ON paid.address = t.destination_owner
LEFT JOIN LATERAL (
  SELECT * FROM transactions AS c
  WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
  LIMIT 1
) AS taker ON true
ORDER BY p.n, t.path;

-- name: honour_claims
-- Give each of these claims its transfer, unless it or the nonce is taken meanwhile. Answers those that were made.
--
-- The lock makes whoever undoes a transfer wait for the claim, or the claim for them.
WITH wanted AS (
  SELECT *
  FROM unnest(
    :user_ids::text[], :nonces::text[], :signatures::text[], :paths::text[], :payers::text[], :currencies::text[],
    :amounts::numeric[], :least_amounts::numeric[], :exacts::boolean[], :final_onlys::boolean[],
    :resources::text[], :agent_ids::text[], :environments::text[], :asked_withs::text[]
  ) AS w (
    user_id, nonce, signature, path, payer, currency, amount, least_amount, exact, final_only, resource, agent_id,
    environment, asked_with
  )
),
held AS (
  SELECT w.*, t.destination_owner AS recipient, t.mint, t.amount - t.fee AS received, t.finality,
    EXISTS (SELECT FROM nonces AS n WHERE n.nonce = w.nonce AND n.user_id = w.user_id) AS for_request
  FROM wanted AS w
  JOIN transfers AS t ON t.signature = w.signature AND t.path = w.path
  WHERE t.finality <> 'orphaned' AND t.awaits_witness_since IS NULL AND (t.finality = 'finalized' OR NOT w.final_only)
  ORDER BY t.signature, t.path
  FOR SHARE OF t
),
made AS (
  INSERT INTO transactions (
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received, exact,
    final_only, resource, agent_id, environment, asked_with, for_request, status, "timestamp", answered_at, honoured_at,
    settled_at
  )
  SELECT
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received, exact,
    final_only, resource, agent_id, environment, asked_with, for_request,
    CASE finality WHEN 'finalized' THEN 'finalized'::claim_status ELSE 'confirmed'::claim_status END,
    moment.at, moment.at, moment.at, CASE finality WHEN 'finalized' THEN moment.at END
  -- One moment: a claim is not honoured before it is made.
  FROM held, (SELECT clock_timestamp() AS at) AS moment
  ON CONFLICT DO NOTHING
  RETURNING id, user_id, nonce, signature, path, recipient, mint, received, status, agent_id, "timestamp"
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.' || status, id::text, user_id, agent_id,
    jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text)
  FROM made
)
SELECT id, user_id, nonce, status, "timestamp" FROM made;

-- name: answer_claim^
-- Say yes to the proof of a claim that was honoured while nobody asked: by its reference, or while it was pending.
-- Said once, and again only to the very request that was answered so, known by its Idempotency-Key, while answers are
-- kept for it: its answer was lost.
UPDATE transactions
SET answered_at = coalesce(answered_at, clock_timestamp()), asked_with = :asked_with::text,
  agent_id = coalesce(agent_id, :agent_id::text)
WHERE id = :id
  AND (
    answered_at IS NULL
    OR (asked_with = :asked_with::text AND answered_at > clock_timestamp() - interval '24 hours')
  )
  AND claim_is_paid(status)
RETURNING id, status, "timestamp";

-- name: honour_pending
-- Give pending claims their transfers while nobody asks. Answers those that were given one.
--
-- Statuses are compared as text: the index of pending claims tempts a planner that has not heard of them yet to read
-- all of it for each. OFFSET 0 keeps the other look-ups in their indexes for the same reason.
WITH wanted AS (
  SELECT * FROM unnest(:ids::uuid[], :paths::text[]) AS w (id, path)
),
held AS (
  SELECT c.id, w.path, t.destination_owner, t.mint, t.amount - t.fee AS received
  FROM wanted AS w
  JOIN transactions AS c ON c.id = w.id AND c.status::text = 'pending'
  JOIN transfers AS t ON t.signature = c.signature AND t.path = w.path
  WHERE t.finality <> 'orphaned' AND t.awaits_witness_since IS NULL AND (t.finality = 'finalized' OR NOT c.final_only)
    AND NOT EXISTS (
      SELECT FROM transactions AS o
      WHERE o.signature = t.signature AND o.path = t.path AND claim_holds_transfer(o.status)
      OFFSET 0
    )
    AND NOT EXISTS (
      SELECT FROM transactions AS o
      WHERE o.nonce = c.nonce AND (o.user_id = c.user_id OR o.payer = c.payer AND NOT c.for_request)
        AND claim_holds_transfer(o.status)
      OFFSET 0
    )
  ORDER BY t.signature, t.path
  FOR SHARE OF t
),
made AS (
  UPDATE transactions AS c
  SET status = 'confirmed', path = h.path, recipient = h.destination_owner, mint = h.mint, received = h.received,
    honoured_at = greatest(c."timestamp", clock_timestamp())
  FROM held AS h
  WHERE c.id = h.id AND c.status::text = 'pending'
  RETURNING c.id, c.user_id, c.nonce, c.signature, c.path, c.mint, c.received, c.status, c.agent_id, c."timestamp"
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.confirmed', id::text, user_id, agent_id,
    jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text)
  FROM made
)
SELECT id, user_id, nonce, status, "timestamp" FROM made;

-- name: honour_asked
-- Give pending claims their transfers while their payers ask, who are answered by the terms they claim now.
--
-- See `honour_pending` for the form of its conditions.
WITH wanted AS (
  SELECT *
  FROM unnest(
    :ids::uuid[], :paths::text[], :currencies::text[], :amounts::numeric[], :least_amounts::numeric[],
    :exacts::boolean[], :final_onlys::boolean[], :resources::text[], :agent_ids::text[], :asked_withs::text[]
  ) AS w (id, path, currency, amount, least_amount, exact, final_only, resource, agent_id, asked_with)
),
held AS (
  SELECT w.*, t.destination_owner, t.mint, t.amount - t.fee AS received
  FROM wanted AS w
  JOIN transactions AS c ON c.id = w.id AND c.status::text = 'pending'
  JOIN transfers AS t ON t.signature = c.signature AND t.path = w.path
  WHERE t.finality <> 'orphaned' AND t.awaits_witness_since IS NULL AND (t.finality = 'finalized' OR NOT w.final_only)
    AND NOT EXISTS (
      SELECT FROM transactions AS o
      WHERE o.signature = t.signature AND o.path = t.path AND claim_holds_transfer(o.status)
      OFFSET 0
    )
    AND NOT EXISTS (
      SELECT FROM transactions AS o
      WHERE o.nonce = c.nonce AND (o.user_id = c.user_id OR o.payer = c.payer AND NOT c.for_request)
        AND claim_holds_transfer(o.status)
      OFFSET 0
    )
  ORDER BY t.signature, t.path
  FOR SHARE OF t
),
made AS (
  UPDATE transactions AS c
  SET status = 'confirmed', path = h.path, recipient = h.destination_owner, mint = h.mint, received = h.received,
    currency = h.currency, amount = h.amount, least_amount = h.least_amount, exact = h.exact,
    final_only = h.final_only, resource = h.resource, agent_id = coalesce(h.agent_id, c.agent_id),
    asked_with = h.asked_with, honoured_at = greatest(c."timestamp", clock_timestamp()), answered_at = clock_timestamp()
  FROM held AS h
  WHERE c.id = h.id AND c.status::text = 'pending'
  RETURNING c.id, c.user_id, c.nonce, c.signature, c.path, c.mint, c.received, c.status, c.agent_id, c."timestamp"
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.confirmed', id::text, user_id, agent_id,
    jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text)
  FROM made
)
SELECT id, user_id, nonce, status, "timestamp" FROM made;

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
    resource = EXCLUDED.resource
  WHERE c.status = 'pending'
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

-- name: follow_transfers^
-- Bring claims to where their transfers are: final, undone, landed again, or undone for so long that they stay so.
--
-- A transaction may land again, or be reported again, with other content: each move is judged by what its transfer is now,
-- in all the terms of the claim. What does not fit them any more is reversed, and fails unless it comes to fit again.
WITH moved AS (
  UPDATE transactions AS c
  SET
    status = m.status::claim_status,
    code = CASE WHEN m.status = 'failed' THEN m.code END,
    received = CASE WHEN claim_is_paid(m.status::claim_status) THEN m.credited ELSE c.received END,
    settled_at = CASE WHEN m.status IN ('finalized', 'failed') THEN clock_timestamp() END,
    reversed_at = CASE WHEN m.status = 'reversed' THEN clock_timestamp() ELSE c.reversed_at END
  FROM (
    SELECT
      o.id,
      o.status AS stood,
      t.amount - t.fee AS credited,
      now.code,
      CASE
        WHEN o.status = 'confirmed' AND (t.finality = 'orphaned' OR now.code IS NOT NULL) THEN 'reversed'
        WHEN o.status = 'confirmed' AND t.finality = 'finalized' THEN 'finalized'
        WHEN o.status = 'confirmed' AND t.amount - t.fee <> o.received THEN 'confirmed'
        WHEN o.status = 'reversed' AND t.finality <> 'orphaned' AND now.code IS NULL THEN 'confirmed'
        WHEN o.status = 'reversed' AND t.finality = 'finalized' THEN 'failed'
        WHEN o.status = 'reversed' AND o.reversed_at < clock_timestamp() - make_interval(secs => :dead_seconds)
          THEN 'failed'
      END AS status
    FROM transactions AS o
    JOIN transfers AS t ON t.signature = o.signature AND t.path = o.path
    CROSS JOIN LATERAL (
      -- In the judge's order of precedence.
      SELECT CASE
        WHEN t.finality = 'orphaned' THEN 'TRANSACTION_FAILED'
        WHEN NOT kind_is_payment(t.kind) OR t.destination_owner IS DISTINCT FROM o.recipient::text
          OR NOT moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
          THEN 'RECIPIENT_MISMATCH'
        WHEN t.mint <> o.mint THEN 'CURRENCY_MISMATCH'
        WHEN coalesce(o.payer::text NOT IN (coalesce(t.source_owner::text, ''), coalesce(t.authority::text, '')), true)
          THEN 'PAYER_MISMATCH'
        WHEN t.amount - t.fee < o.least_amount THEN 'INSUFFICIENT_AMOUNT'
        WHEN o.exact AND t.amount - t.fee > o.amount THEN 'AMOUNT_MISMATCH'
      END AS code
    ) AS now
    WHERE claim_may_move(o.status)
  ) AS m
  -- By where it stood, and not by a list of statuses: an index on those tempts the planner to look at all for each.
  WHERE c.id = m.id AND m.status IS NOT NULL AND c.status = m.stood
  RETURNING c.id, c.user_id, c.agent_id, c.status, c.signature, c.path, c.code, c.received, m.stood
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.' || status, id::text, user_id, agent_id,
    jsonb_build_object('signature', signature, 'path', path, 'received', received::text, 'code', code)
  FROM moved
)
SELECT
  count(*) FILTER (WHERE status = 'finalized')::int AS finalized,
  count(*) FILTER (WHERE status = 'reversed')::int AS reversed,
  count(*) FILTER (WHERE status = 'confirmed' AND stood = 'reversed')::int AS restored,
  count(*) FILTER (WHERE status = 'failed')::int AS failed
FROM moved;
