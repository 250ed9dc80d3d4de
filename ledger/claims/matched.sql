-- name: honour_requests
-- Give payment requests the transfers that name them, though no payer has claimed them. Answers those that were given.
--
-- A proof of this very payment may have been shown before it landed: the claim that was remembered for it, pending or
-- come to nothing since, is the one that takes it. See `honour_pending` for the form of its conditions.
WITH wanted AS (
  SELECT *
  FROM unnest(
    :nonces::text[], :signatures::text[], :paths::text[], :payers::text[], :least_amounts::numeric[], :agent_ids::text[]
  ) AS w (nonce, signature, path, payer, least_amount, agent_id)
),
held AS (
  SELECT w.payer, w.least_amount, w.agent_id, w.signature, w.path, n.user_id, n.nonce, n.currency, n.amount, n.scheme,
    n.resource, n.environment, n.final_only, t.destination_owner AS recipient, t.mint, t.amount - t.fee AS received, t.finality,
    (
      SELECT id FROM transactions AS c
      WHERE c.nonce = n.nonce AND c.signature = w.signature AND c.payer = w.payer AND c.user_id = n.user_id
    ) AS known_id
  FROM wanted AS w
  JOIN nonces AS n ON n.nonce = w.nonce
  JOIN transfers AS t ON t.signature = w.signature AND t.path = w.path
  WHERE transfer_counts(t.finality, t.awaits_witness_since) AND (t.finality = 'finalized' OR NOT n.final_only)
    AND wallet_was_of(t.destination_owner, n.user_id, paid_at(t.block_time, t.notified_at, t.recorded_at))
  ORDER BY t.signature, t.path
  FOR SHARE OF t
),
made AS (
  INSERT INTO transactions (
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received, exact,
    final_only, resource, agent_id, environment, for_request, status, "timestamp", honoured_at, settled_at
  )
  SELECT
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received,
    scheme = 'exact', final_only, resource, agent_id, environment, true,
    CASE finality WHEN 'finalized' THEN 'finalized'::claim_status ELSE 'confirmed'::claim_status END,
    moment.at, moment.at, CASE finality WHEN 'finalized' THEN moment.at END
  FROM held, (SELECT clock_timestamp() AS at) AS moment
  WHERE known_id IS NULL
  ON CONFLICT DO NOTHING
  RETURNING id, user_id, nonce, signature, path, mint, received, status, agent_id
),
taken_up AS (
  UPDATE transactions AS c
  SET status = 'confirmed', code = NULL, settled_at = NULL, path = h.path, recipient = h.recipient, mint = h.mint,
    currency = h.currency, amount = h.amount, least_amount = h.least_amount, received = h.received,
    exact = h.scheme = 'exact', final_only = h.final_only, resource = h.resource,
    agent_id = coalesce(c.agent_id, h.agent_id), environment = h.environment, for_request = true,
    honoured_at = greatest(c."timestamp", clock_timestamp())
  FROM held AS h
  WHERE c.id = h.known_id AND NOT claim_holds_transfer(c.status)
    AND NOT EXISTS (
      SELECT FROM transactions AS o
      WHERE o.signature = h.signature AND o.path = h.path AND claim_holds_transfer(o.status)
      OFFSET 0
    )
    AND NOT EXISTS (
      SELECT FROM transactions AS o
      WHERE o.nonce = h.nonce AND o.user_id = h.user_id AND claim_holds_transfer(o.status)
      OFFSET 0
    )
  RETURNING c.id, c.user_id, c.nonce, c.signature, c.path, c.mint, c.received, c.status, c.agent_id
),
given AS (
  SELECT * FROM made
  UNION ALL
  SELECT * FROM taken_up
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.' || status, id::text, user_id, agent_id,
    jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text,
      'matchedBy', 'reference')
  FROM given
)
SELECT id, user_id, nonce, status FROM given;

-- name: take_strays^
-- Finalized payments that name a job and can never fund it: too little, the wrong token, too late, once too often, or
-- their request was deleted before they were matched with it, or the wallet is another user's. Whatever keeps a payment
-- from being matched with an open job must be a reason here: else it would wait for ever.
-- Each is taken by a claim of its own, so that what goes back can pay for nothing else, and noted to go back.
WITH judged AS (
  SELECT
    t.signature, t.path, t.mint, t.source_owner, t.destination_owner, t.amount - t.fee AS received,
    j.id AS job_id, j.created_at, j.client_user_id, j.client_agent_id, j.settlement_user_id, j.price_currency, j.environment,
    CASE
      WHEN EXISTS (
        SELECT FROM transactions AS c
        WHERE c.user_id = j.settlement_user_id AND c.nonce = j.nonce
          AND claim_holds_transfer(c.status)
      ) THEN 'duplicate'
      WHEN paid_at(t.block_time, t.notified_at, t.recorded_at) > j.fund_until THEN 'late'
      WHEN NOT mint_counts_as(t.mint, j.price_mint) THEN 'wrong_token'
      WHEN t.amount - t.fee < least_equal_amount(j.price_amount, token.decimals) THEN 'short'
      WHEN NOT EXISTS (SELECT FROM nonces AS n WHERE n.nonce = j.nonce) THEN 'closed'
      -- The wallet has another user by now, or had when this was paid.
      WHEN NOT wallet_was_of(
        t.destination_owner, j.settlement_user_id, paid_at(t.block_time, t.notified_at, t.recorded_at)
      ) THEN 'closed'
    END AS reason
  FROM unnest(:wallets::text[]) AS w (wallet)
  JOIN transfers AS t ON t.destination_owner = w.wallet
  CROSS JOIN LATERAL (
    SELECT j.* FROM job_requests AS j WHERE j.reference = ANY(t.reference_keys)
    UNION ALL
    SELECT j.* FROM job_requests AS j WHERE j.nonce = ANY(t.memos)
  ) AS j
  JOIN tokens AS token ON token.mint = j.price_mint
  WHERE t.slot >= :from_slot::bigint
    AND (t.reference_keys <> '{}' OR t.memos <> '{}')
    AND t.finality = 'finalized'
    AND transfer_counts(t.finality, t.awaits_witness_since)
    AND kind_is_payment(t.kind)
    AND t.amount > t.fee
    AND t.source_owner IS NOT NULL AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
    AND j.settlement_wallet = t.destination_owner
    AND NOT EXISTS (
      SELECT FROM transactions AS c
      WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
    )
    AND NOT transfer_pays_nothing(t.signature, t.path)
),
named AS (
  SELECT DISTINCT ON (signature, path) *
  FROM judged
  -- What can fund one of the jobs that it names is left to be matched with that one.
  ORDER BY signature, path, reason IS NULL DESC, created_at
),
taken AS (
  INSERT INTO transactions (
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received, resource,
    environment, status, "timestamp", honoured_at, settled_at
  )
  SELECT
    -- Nobody can guess this nonce and use it up.
    settlement_user_id, 'refund ' || gen_random_uuid(), signature, path, source_owner, destination_owner, mint,
    price_currency, received, received, received, 'marketplace refund', environment, 'finalized', moment.at, moment.at,
    moment.at
  FROM named, (SELECT clock_timestamp() AS at) AS moment
  WHERE reason IS NOT NULL
  LIMIT :limit
  ON CONFLICT DO NOTHING
  RETURNING id, user_id, signature, path, mint, received, status
),
claimed AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'claim.' || status, id::text, user_id,
    jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text, 'matchedBy', 'job')
  FROM taken
),
noted AS (
  INSERT INTO job_fundings (claim_id, job_id, escrowed, rest, rest_reason)
  SELECT c.id, s.job_id, 0, s.received, s.reason
  FROM taken AS c
  JOIN named AS s ON s.signature = c.signature AND s.path = c.path
  RETURNING claim_id, job_id, rest, rest_reason
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.not_funded', f.job_id::text, j.client_user_id, j.client_agent_id,
    jsonb_build_object('claim', f.claim_id, 'escrowed', '0', 'rest', f.rest::text, 'reason', f.rest_reason)
  FROM noted AS f
  JOIN job_requests AS j ON j.id = f.job_id
)
SELECT count(*)::int AS taken FROM noted;

-- name: free_nonces$
-- Claims that could not fund their jobs leave the jobs' nonces free for payments that can.
WITH freed AS (
  UPDATE transactions AS c
  -- Nobody can guess this nonce and use it up.
  SET nonce = 'refund ' || gen_random_uuid()
  FROM job_requests AS j
  JOIN job_fundings AS f ON f.job_id = j.id
  WHERE job_is_open(j.status) AND j.escrow_status = 'pending'
    AND f.escrowed = 0 AND c.id = f.claim_id AND c.nonce = j.nonce
  RETURNING c.id, c.user_id, c.agent_id, j.id AS job_id, f.rest_reason
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.nonce_freed', id::text, user_id, agent_id, jsonb_build_object('job', job_id, 'reason', rest_reason)
  FROM freed
)
SELECT count(*)::int FROM freed;
