-- name: fold_claim_changes^
-- Fold up to so many noted changes into the totals, for each merchant and for all of them together.
--
-- Any number of workers may do so at once: each takes other notes, and all write in the same order.
WITH taken AS (
  DELETE FROM claim_changes
  WHERE id IN (SELECT id FROM claim_changes ORDER BY id LIMIT :notes_max::int FOR UPDATE SKIP LOCKED)
  RETURNING day, user_id, agent_id, mint, environment, claims, received, last_at
),
revenue AS (
  INSERT INTO revenue_days AS r (user_id, day, mint, environment, claims, received)
  SELECT whose, day, mint, environment, sum(claims), sum(received)
  FROM taken
  CROSS JOIN LATERAL unnest(ARRAY[user_id, '']) AS w (whose)
  GROUP BY whose, day, mint, environment
  ORDER BY whose, day, mint, environment
  ON CONFLICT (user_id, day, mint, environment) DO UPDATE SET
    claims = r.claims + EXCLUDED.claims,
    received = r.received + EXCLUDED.received
),
days AS (
  INSERT INTO agent_days AS a (user_id, day, agent_id, mint, environment, claims, received, last_at)
  SELECT whose, day, agent_id, mint, environment, sum(claims), sum(received), max(last_at)
  FROM taken
  CROSS JOIN LATERAL unnest(ARRAY[user_id, '']) AS w (whose)
  WHERE agent_id IS NOT NULL AND day >= (clock_timestamp() AT TIME ZONE 'UTC')::date - 62
  GROUP BY 1, 2, 3, 4, 5
  ORDER BY 1, 2, 3, 4, 5
  ON CONFLICT (user_id, mint, day, agent_id, environment) DO UPDATE SET
    claims = a.claims + EXCLUDED.claims,
    received = a.received + EXCLUDED.received,
    last_at = greatest(a.last_at, EXCLUDED.last_at)
),
months AS (
  INSERT INTO agent_months AS a (user_id, month, agent_id, mint, environment, claims, received, last_at)
  SELECT whose, date_trunc('month', day)::date, agent_id, mint, environment, sum(claims), sum(received), max(last_at)
  FROM taken
  CROSS JOIN LATERAL unnest(ARRAY[user_id, '']) AS w (whose)
  WHERE agent_id IS NOT NULL
  GROUP BY 1, 2, 3, 4, 5
  ORDER BY 1, 2, 3, 4, 5
  ON CONFLICT (user_id, mint, month, agent_id, environment) DO UPDATE SET
    claims = a.claims + EXCLUDED.claims,
    received = a.received + EXCLUDED.received,
    last_at = greatest(a.last_at, EXCLUDED.last_at)
)
SELECT count(*)::int AS folded FROM taken;

-- name: forget_agent_days!
-- Days of agents are asked about for a month; what is older is in the totals of its month.
DELETE FROM agent_days WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date - 62;
