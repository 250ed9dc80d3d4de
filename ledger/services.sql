-- name: add_service^
-- Offer a service.
WITH added AS (
  INSERT INTO agent_services (
    user_id, environment, agent_id, payout_address, name, description, category, pricing_model, price_amount,
    price_mint, price_currency, capabilities, tags
  )
  VALUES (
    :user_id, :environment, :agent_id, :payout_address, :name, :description, :category, :pricing_model, :price_amount, :price_mint,
    :price_currency, :capabilities, :tags
  )
  RETURNING *
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'service.offered', id::text, user_id, agent_id, jsonb_build_object('price', price_amount::text) FROM added
)
SELECT a.*, t.decimals FROM added AS a JOIN tokens AS t ON t.mint = a.price_mint;

-- name: change_service^
-- Change what is said about a service; null leaves it as it is. Jobs ordered before keep their price. Answers nothing
-- where another token was asked for a service that was ordered: what it has earned is counted in the one it has.
WITH changed AS (
  UPDATE agent_services
  SET
    name = coalesce(:name, name),
    description = coalesce(:description, description),
    category = coalesce(:category, category),
    pricing_model = coalesce(:pricing_model, pricing_model),
    price_amount = coalesce(:price_amount, price_amount),
    price_mint = coalesce(:price_mint::text, price_mint),
    price_currency = coalesce(:price_currency, price_currency),
    payout_address = coalesce(:payout_address, payout_address),
    capabilities = coalesce(:capabilities::text[], capabilities),
    tags = coalesce(:tags::text[], tags),
    is_active = coalesce(:is_active, is_active),
    updated_at = clock_timestamp()
  WHERE id = :id
    AND (
      coalesce(:price_mint::text, price_mint) = price_mint
      OR NOT EXISTS (SELECT FROM job_requests AS j WHERE j.service_id = agent_services.id)
    )
  RETURNING *
)
SELECT c.*, t.decimals FROM changed AS c JOIN tokens AS t ON t.mint = c.price_mint;

-- name: lock_service!
-- Wait for whoever orders a service, and let who orders it next wait: the next statement sees what was ordered.
SELECT FROM agent_services WHERE id = :id FOR UPDATE;

-- name: move_service_to_tests^
-- Make a live service one for tests, with its event, unless live jobs of it are under way or were paid for: then that is
-- answered, and nothing changes. One for tests stays one. It is locked by then, see `lock_service`.
WITH found AS (
  SELECT id, user_id, agent_id, environment FROM agent_services WHERE id = :id
),
looked_at AS (
  SELECT f.*, CASE
    WHEN f.environment = 'test' THEN NULL
    WHEN EXISTS (
      SELECT FROM job_requests AS j
      WHERE j.service_id = f.id AND j.environment = 'live' AND escrow_is_settled(j.escrow_status)
    ) THEN 'payments'
    WHEN EXISTS (
      SELECT FROM job_requests AS j
      WHERE j.service_id = f.id AND j.environment = 'live' AND (j.escrow_status <> 'pending' OR job_is_open(j.status))
    ) THEN 'jobs'
  END AS held_by
  FROM found AS f
),
moved AS (
  UPDATE agent_services AS s SET environment = 'test', updated_at = clock_timestamp()
  FROM looked_at AS l
  WHERE s.id = l.id AND s.environment = 'live' AND l.held_by IS NULL
  RETURNING s.id, s.user_id, s.agent_id
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'service.for_tests', id::text, user_id, agent_id, '{"from": "live", "to": "test"}'::jsonb FROM moved
)
SELECT id, held_by, EXISTS (SELECT FROM moved) AS is_moved FROM looked_at;

-- name: lock_price^
-- What a service costs, locked until the transaction ends: the service cannot be ordered meanwhile.
SELECT s.price_amount AS amount, s.price_mint AS mint, s.price_currency AS currency, t.decimals
FROM agent_services AS s
JOIN tokens AS t ON t.mint = s.price_mint
WHERE s.id = :id
FOR UPDATE OF s;

-- name: service^
-- One service, active or not.
SELECT s.*, t.decimals FROM agent_services AS s JOIN tokens AS t ON t.mint = s.price_mint WHERE s.id = :id;

-- name: services
-- A page of the services on offer. Prices are compared in units of their tokens; the unrated have the best rating, as
-- they are shown.
WITH found AS (
  SELECT s.*, t.decimals, s.price_amount / 10::numeric ^ t.decimals AS price,
    CASE WHEN s.rating_count = 0 THEN 5 ELSE s.rating_sum::float8 / s.rating_count END AS rating
  FROM agent_services AS s
  JOIN tokens AS t ON t.mint = s.price_mint
  WHERE s.is_active AND (:category::text IS NULL OR s.category = :category)
)
SELECT *
FROM found
WHERE (:min_price::text IS NULL OR price >= :min_price::text::numeric)
  AND (:max_price::text IS NULL OR price <= :max_price::text::numeric)
ORDER BY
  CASE WHEN :sort::text = 'popular' THEN total_jobs END DESC,
  CASE WHEN :sort::text = 'price-low' THEN price END,
  CASE WHEN :sort::text = 'price-high' THEN price END DESC,
  CASE WHEN :sort::text = 'rating' THEN rating END DESC,
  CASE WHEN :sort::text = 'rating' THEN rating_count END DESC,
  created_at DESC,
  id
LIMIT :limit OFFSET :offset;

-- name: count_services$
-- How many services there are of what is asked for.
SELECT count(*)::int
FROM agent_services AS s
JOIN tokens AS t ON t.mint = s.price_mint
WHERE s.is_active AND (:category::text IS NULL OR s.category = :category)
  AND (:min_price::text IS NULL OR s.price_amount / 10::numeric ^ t.decimals >= :min_price::text::numeric)
  AND (:max_price::text IS NULL OR s.price_amount / 10::numeric ^ t.decimals <= :max_price::text::numeric);

-- name: marketplace_counts^
-- How many services, jobs and agents the marketplace has in these currencies; what is for tests, and jobs between a user
-- and itself, are left out.
WITH offered AS (
  SELECT agent_id FROM agent_services
  WHERE is_active AND environment = 'live' AND price_currency = ANY(:currencies::text[])
),
ordered AS (
  SELECT status, client_agent_id, provider_agent_id
  FROM job_requests
  WHERE price_currency = ANY(:currencies::text[]) AND job_counts(environment, client_user_id, provider_user_id)
)
SELECT
  (SELECT count(*) FROM offered)::int AS total_services,
  (SELECT count(*) FROM ordered)::int AS total_jobs,
  (SELECT count(*) FROM ordered WHERE status = 'approved')::int AS completed_jobs,
  (
    SELECT count(*) FROM (
      SELECT agent_id FROM offered
      UNION SELECT client_agent_id FROM ordered
      UNION SELECT provider_agent_id FROM ordered
    ) AS agents
  )::int AS active_agents;

-- name: marketplace_volume
-- What was released to providers in these currencies, jobs of tests, and between a user and itself, left out.
SELECT j.price_currency AS currency, t.decimals, sum(f.escrowed) AS amount
FROM job_requests AS j
JOIN job_fundings AS f ON f.job_id = j.id
JOIN tokens AS t ON t.mint = j.price_mint
WHERE j.escrow_status = 'released' AND j.price_currency = ANY(:currencies::text[])
  AND job_counts(j.environment, j.client_user_id, j.provider_user_id)
GROUP BY j.price_currency, t.decimals
ORDER BY j.price_currency;

-- name: leaderboard
-- The live services in these currencies that have earned most, in units of their tokens.
SELECT s.*, t.decimals
FROM agent_services AS s
JOIN tokens AS t ON t.mint = s.price_mint
WHERE s.is_active AND s.environment = 'live' AND s.price_currency = ANY(:currencies::text[])
ORDER BY s.total_earnings / 10::numeric ^ t.decimals DESC, s.successful_jobs DESC, s.id
LIMIT :limit;

-- name: add_example$
-- Offer an example, unless it is there already.
INSERT INTO agent_services (
  user_id, environment, agent_id, payout_address, name, description, category, pricing_model, price_amount, price_mint,
  price_currency, capabilities, tags, seed_name
)
VALUES (
  :user_id, :environment, :agent_id, :payout_address, :name, :description, :category, :pricing_model, :price_amount, :price_mint,
  :price_currency, :capabilities, :tags, :seed_name
)
ON CONFLICT (seed_name) DO NOTHING
RETURNING id;
