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
  WHERE transfer_counts(t.finality, t.awaits_witness_since) AND (t.finality = 'finalized' OR NOT w.final_only)
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
  WHERE transfer_counts(t.finality, t.awaits_witness_since) AND (t.finality = 'finalized' OR NOT c.final_only)
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
-- Give claims that are known already their transfers while their payers ask, who are answered by the terms they claim now:
-- pending ones, and those that came to nothing before their transaction landed, as one with a durable nonce may. One that
-- was answered with yes and then undone gets no second yes, but to the very request that had the first.
--
-- See `honour_pending` for the form of its conditions.
WITH wanted AS (
  SELECT *
  FROM unnest(
    :ids::uuid[], :paths::text[], :currencies::text[], :amounts::numeric[], :least_amounts::numeric[],
    :exacts::boolean[], :final_onlys::boolean[], :resources::text[], :agent_ids::text[], :environments::text[],
    :asked_withs::text[]
  ) AS w (id, path, currency, amount, least_amount, exact, final_only, resource, agent_id, environment, asked_with)
),
held AS (
  SELECT w.*, t.destination_owner, t.mint, t.amount - t.fee AS received
  FROM wanted AS w
  JOIN transactions AS c ON c.id = w.id AND NOT claim_holds_transfer(c.status)
  JOIN transfers AS t ON t.signature = c.signature AND t.path = w.path
  WHERE transfer_counts(t.finality, t.awaits_witness_since) AND (t.finality = 'finalized' OR NOT w.final_only)
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
  SET status = 'confirmed', code = NULL, settled_at = NULL, path = h.path, recipient = h.destination_owner, mint = h.mint,
    received = h.received,
    currency = h.currency, amount = h.amount, least_amount = h.least_amount, exact = h.exact,
    final_only = h.final_only, resource = h.resource, agent_id = coalesce(h.agent_id, c.agent_id),
    environment = h.environment, asked_with = h.asked_with,
    honoured_at = greatest(c."timestamp", clock_timestamp()), answered_at = clock_timestamp()
  FROM held AS h
  WHERE c.id = h.id AND NOT claim_holds_transfer(c.status) AND (c.answered_at IS NULL OR c.asked_with = h.asked_with)
  RETURNING c.id, c.user_id, c.nonce, c.signature, c.path, c.mint, c.received, c.status, c.agent_id, c."timestamp"
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.confirmed', id::text, user_id, agent_id,
    jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text)
  FROM made
)
SELECT id, user_id, nonce, status, "timestamp" FROM made;
