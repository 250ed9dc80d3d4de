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
    settled_at = CASE WHEN claim_has_ended(m.status::claim_status) THEN clock_timestamp() END,
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
