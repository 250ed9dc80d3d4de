-- name: claim_settled
-- Give payments that we signed over x402 the transfers that the ledger has of them, each held by a claim.
--
-- A payment request that the seller's memo names is paid by it; else the claim has a nonce that no proof can use. Where a
-- claim holds the transfer already, that one is taken: that of the same request, matched by its memo and not answered yet,
-- is ours to answer; what honoured anything else is never answered again. The locks make whoever undoes the transfer, or
-- decides the settlement otherwise, wait for this, or this for them. They are taken in one order, by settlement and then
-- by signature as every statement does that follows transfers, so that none of them waits in a circle.
WITH asked_for AS (
  SELECT * FROM settlements
  WHERE id = ANY(:ids::uuid[]) AND (settlement_is_open(status) OR status = 'failed')
  ORDER BY id
  FOR UPDATE
),
due AS (
  SELECT
    s.id, s.user_id, s.environment, s.payer, s.pay_to, s.mint, s.amount, s.resource, s.signature, s.claim_id, s.status AS stood,
    '402pay x402 ' || encode(s.message_hash, 'hex') AS own_nonce, s.request_nonce AS required_nonce,
    n.nonce AS request_nonce, n.currency AS request_currency, n.amount AS request_amount, n.scheme AS request_scheme,
    n.resource AS request_resource, n.final_only AS request_final_only,
    least_equal_amount(n.amount, asked.decimals) AS request_least,
    j.client_agent_id AS agent_id, coalesce(paid.symbol, s.mint) AS currency, s.final_only,
    t.path, t.slot, t.amount - t.fee AS received, t.finality,
    h.id AS holder_id, h.nonce AS holder_nonce, h.answered_at AS holder_answered_at, h.user_id AS holder_user_id,
    claim_is_paid(h.status) AS holder_is_paid
  FROM asked_for AS s
  JOIN transfers AS t ON t.signature = s.signature
  LEFT JOIN tokens AS paid ON paid.mint = s.mint
  LEFT JOIN nonces AS n
    ON n.nonce = s.request_nonce AND n.user_id = s.user_id AND n.recipient = s.pay_to
    AND paid_at(t.block_time, t.notified_at, t.recorded_at) <= n.expires_at
    AND mint_counts_as(s.mint, n.mint)
    AND NOT EXISTS (
      SELECT FROM transactions AS c
      WHERE c.user_id = s.user_id AND c.nonce = n.nonce
        AND (claim_holds_transfer(c.status) OR c.signature = s.signature AND c.payer = s.payer AND c.status <> 'pending')
    )
  LEFT JOIN tokens AS asked ON asked.mint = n.mint
  LEFT JOIN job_requests AS j ON j.nonce = n.nonce
  LEFT JOIN transactions AS h
    ON h.signature = t.signature AND h.path = t.path AND claim_holds_transfer(h.status)
  WHERE transfer_counts(t.finality, t.awaits_witness_since) AND kind_is_payment(t.kind)
    -- The one transfer of its message; what a token's own program moves besides has a dot in its path.
    AND strpos(t.path, '.') = 0
    AND t.mint = s.mint AND t.destination = s.destination AND t.destination_owner = s.pay_to
    AND t.authority = s.payer AND t.amount = s.amount AND t.amount > t.fee
    AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
    AND (t.finality = 'finalized' OR NOT s.final_only AND NOT coalesce(n.final_only, false))
  ORDER BY t.signature
  FOR SHARE OF t
),
fitting AS (
  SELECT *,
    coalesce(
      received >= request_least AND (request_scheme <> 'exact' OR received <= request_amount), false
    ) AS pays_request
  FROM due
),
made AS (
  INSERT INTO transactions (
    user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received, exact,
    final_only, resource, agent_id, environment, for_request, status, "timestamp", answered_at, honoured_at, settled_at
  )
  SELECT
    user_id, CASE WHEN pays_request THEN request_nonce ELSE own_nonce END, signature, path, payer, pay_to, mint,
    CASE WHEN pays_request THEN request_currency ELSE currency END,
    CASE WHEN pays_request THEN request_amount ELSE amount END,
    -- A token with a fee of its own credits less than is sent, which is what was asked for.
    CASE WHEN pays_request THEN request_least ELSE least(amount, received) END,
    received,
    CASE WHEN pays_request THEN request_scheme = 'exact' ELSE true END,
    final_only OR pays_request AND request_final_only,
    coalesce(CASE WHEN pays_request THEN request_resource END, resource),
    CASE WHEN pays_request THEN agent_id END, environment, pays_request,
    CASE finality WHEN 'finalized' THEN 'finalized'::claim_status ELSE 'confirmed'::claim_status END,
    moment.at, moment.at, moment.at, CASE finality WHEN 'finalized' THEN moment.at END
  FROM fitting, (SELECT clock_timestamp() AS at) AS moment
  WHERE holder_id IS NULL
  ON CONFLICT DO NOTHING
  RETURNING id, user_id, signature, path, mint, received, status, agent_id
),
adopted AS (
  UPDATE transactions AS c
  SET answered_at = CASE WHEN o.is_ours THEN coalesce(c.answered_at, clock_timestamp()) ELSE c.answered_at END
  FROM (
    SELECT *, holder_nonce = own_nonce OR claim_id IS NOT DISTINCT FROM holder_id
      OR coalesce(
        holder_nonce = required_nonce AND holder_user_id = user_id AND holder_answered_at IS NULL, false
      ) AS is_ours
    FROM fitting
  ) AS o
  WHERE c.id = o.holder_id AND o.holder_is_paid AND c.answered_at IS NOT DISTINCT FROM o.holder_answered_at
  RETURNING c.id AS claim_id, o.id, o.is_ours
),
given AS (
  SELECT f.id, m.id AS claim_id, true AS is_ours FROM made AS m JOIN fitting AS f ON f.signature = m.signature
  UNION ALL
  SELECT id, claim_id, is_ours FROM adopted
),
moved AS (
  UPDATE settlements AS s
  SET status = 'settled', reason = NULL, detail = NULL, claim_id = g.claim_id, slot = f.slot,
    lamports_spent = s.lamports_reserved, decided_at = clock_timestamp(),
    -- One that was shown as failed and landed all the same: its request may be another payment's by now.
    request_nonce = CASE WHEN NOT EXISTS (
      SELECT FROM settlements AS o WHERE o.request_nonce = s.request_nonce AND o.id <> s.id AND o.status <> 'failed'
    ) AND NOT EXISTS (
      SELECT FROM given AS g2 JOIN fitting AS f2 ON f2.id = g2.id WHERE f2.required_nonce = s.request_nonce AND f2.id < s.id
    ) THEN s.request_nonce END,
    answered_at = CASE WHEN g.is_ours THEN s.answered_at ELSE coalesce(s.answered_at, clock_timestamp()) END
  FROM given AS g
  JOIN fitting AS f ON f.id = g.id
  WHERE s.id = g.id AND s.status = f.stood
  RETURNING s.id, s.user_id, s.signature, s.mint, f.received, f.slot, f.stood, g.is_ours
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'claim.' || status, id::text, user_id, agent_id,
    jsonb_build_object('signature', signature, 'path', path, 'mint', mint, 'received', received::text, 'matchedBy', 'x402')
  FROM made
  UNION ALL
  SELECT 'x402.settled', id::text, user_id, NULL,
    jsonb_build_object('signature', signature, 'mint', mint, 'received', received::text, 'from', stood, 'used', NOT is_ours)
  FROM moved
)
SELECT id FROM moved;
