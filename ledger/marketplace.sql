-- name: add_service^
-- Offer a service.
WITH added AS (
  INSERT INTO agent_services (
    user_id, agent_id, payout_address, name, description, category, pricing_model, price_amount, price_mint,
    price_currency, capabilities, tags
  )
  VALUES (
    :user_id, :agent_id, :payout_address, :name, :description, :category, :pricing_model, :price_amount, :price_mint,
    :price_currency, :capabilities, :tags
  )
  RETURNING *
),
told AS (
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

-- name: hold_price^
-- What a service costs, held until the transaction ends: nobody orders it meanwhile.
SELECT s.price_amount, s.price_mint, t.decimals
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
),
priced AS (
  SELECT * FROM found
  WHERE (:min_price::text IS NULL OR price >= :min_price::text::numeric)
    AND (:max_price::text IS NULL OR price <= :max_price::text::numeric)
)
SELECT p.id, p.agent_id, p.payout_address, p.name, p.description, p.category, p.pricing_model, p.price_amount, p.price_mint,
  p.price_currency, p.capabilities, p.tags, p.is_active, p.total_jobs, p.successful_jobs, p.total_earnings,
  p.response_seconds, p.rating_sum, p.rating_count, p.created_at, p.updated_at, p.decimals
FROM priced AS p
ORDER BY
  CASE WHEN :sort::text = 'popular' THEN p.total_jobs END DESC,
  CASE WHEN :sort::text = 'price-low' THEN p.price END,
  CASE WHEN :sort::text = 'price-high' THEN p.price END DESC,
  CASE WHEN :sort::text = 'rating' THEN p.rating END DESC,
  CASE WHEN :sort::text = 'rating' THEN p.rating_count END DESC,
  p.created_at DESC,
  p.id
LIMIT :limit OFFSET :offset;

-- name: count_services$
-- How many services there are of what is asked for.
SELECT count(*)::int
FROM agent_services AS s
JOIN tokens AS t ON t.mint = s.price_mint
WHERE s.is_active AND (:category::text IS NULL OR s.category = :category)
  AND (:min_price::text IS NULL OR s.price_amount / 10::numeric ^ t.decimals >= :min_price::text::numeric)
  AND (:max_price::text IS NULL OR s.price_amount / 10::numeric ^ t.decimals <= :max_price::text::numeric);

-- name: recent_jobs
-- The newest jobs of a service.
SELECT id, status::text AS status, escrow_status::text AS escrow_status, created_at, completed_at
FROM job_requests WHERE service_id = :service_id
ORDER BY created_at DESC, id
LIMIT :limit;

-- name: add_job^
-- Order a service at its price of this moment; its payment request is registered already.
WITH added AS (
  INSERT INTO job_requests (
    service_id, client_user_id, client_agent_id, provider_user_id, provider_agent_id, payout_address, price_amount,
    price_mint, price_currency, nonce, reference, settlement_wallet, settlement_user_id, environment, fund_until, input,
    deadline
  )
  SELECT s.id, :client_user_id, :client_agent_id, s.user_id, s.agent_id, s.payout_address, s.price_amount, s.price_mint,
    s.price_currency, n.nonce, n.reference, n.recipient, n.user_id, n.environment, n.expires_at, :input::jsonb,
    :deadline::timestamptz
  FROM agent_services AS s
  JOIN nonces AS n ON n.nonce = :nonce
  WHERE s.id = :service_id AND s.is_active AND s.price_amount = :price_amount AND s.price_mint = :price_mint
  -- Waits for whoever holds its price, and looks again.
  FOR KEY SHARE OF s
  RETURNING id, client_user_id, client_agent_id, service_id, price_amount
),
told AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.pending', id::text, client_user_id, client_agent_id,
    jsonb_build_object('service', service_id, 'price', price_amount::text)
  FROM added
)
SELECT id FROM added;

-- name: job^
-- One job with its service and its funding.
SELECT j.*, s.name AS service_name, t.decimals, r.score, r.feedback,
  (
    SELECT c.status
    FROM transactions AS c
    WHERE c.user_id = j.settlement_user_id AND c.nonce = j.nonce
    ORDER BY c.status IN ('confirmed', 'finalized', 'reversed') DESC, c.status = 'pending' DESC, c."timestamp" DESC
    LIMIT 1
  ) AS claim_status
FROM job_requests AS j
JOIN agent_services AS s ON s.id = j.service_id
JOIN tokens AS t ON t.mint = j.price_mint
LEFT JOIN ratings AS r ON r.job_id = j.id
WHERE j.id = :id;

-- name: jobs
-- A page of jobs, newest first, by whatever is asked for.
SELECT j.*, s.name AS service_name, t.decimals, r.score, r.feedback,
  (
    SELECT c.status
    FROM transactions AS c
    WHERE c.user_id = j.settlement_user_id AND c.nonce = j.nonce
    ORDER BY c.status IN ('confirmed', 'finalized', 'reversed') DESC, c.status = 'pending' DESC, c."timestamp" DESC
    LIMIT 1
  ) AS claim_status
FROM job_requests AS j
JOIN agent_services AS s ON s.id = j.service_id
JOIN tokens AS t ON t.mint = j.price_mint
LEFT JOIN ratings AS r ON r.job_id = j.id
WHERE (:status::text IS NULL OR j.status = :status::job_status)
  AND (:client::text IS NULL OR j.client_agent_id = :client)
  AND (:provider::text IS NULL OR j.provider_agent_id = :provider)
ORDER BY j.created_at DESC, j.id
LIMIT :limit OFFSET :offset;

-- name: count_jobs$
-- How many jobs there are of what is asked for.
SELECT count(*)::int
FROM job_requests AS j
WHERE (:status::text IS NULL OR j.status = :status::job_status)
  AND (:client::text IS NULL OR j.client_agent_id = :client)
  AND (:provider::text IS NULL OR j.provider_agent_id = :provider);

-- name: job_money
-- Every payment that came in for a job and every payout that left for it, oldest first.
SELECT 'in' AS way, c.signature, c.mint, c.received AS amount, coalesce(f.rest_reason, 'price') AS reason,
  'settled' AS status, f.noticed_at AS at
FROM job_fundings AS f
JOIN transactions AS c ON c.id = f.claim_id
WHERE f.job_id = :job_id
UNION ALL
SELECT p.kind, p.settled_signature, p.mint, p.amount, p.reason, p.status::text, coalesce(p.settled_at, p.created_at)
FROM payouts AS p
WHERE p.job_id = :job_id
ORDER BY at;

-- name: rate_job^
-- A client's rating of an approved job, once. It enters the service's rating with the release, or at once after it.
WITH rated AS (
  INSERT INTO ratings (job_id, service_id, client_user_id, score, feedback, counted_at)
  SELECT id, service_id, client_user_id, :score::smallint, :feedback::text,
    CASE WHEN escrow_status = 'released' THEN clock_timestamp() END
  FROM job_requests
  WHERE id = :job_id AND status = 'approved'
  FOR UPDATE
  ON CONFLICT (job_id) DO NOTHING
  RETURNING job_id, service_id, score, counted_at
),
counted AS (
  UPDATE agent_services AS s
  SET rating_sum = s.rating_sum + r.score, rating_count = s.rating_count + 1, updated_at = clock_timestamp()
  FROM rated AS r
  WHERE s.id = r.service_id AND r.counted_at IS NOT NULL
)
SELECT job_id, score, counted_at FROM rated;

-- name: marketplace_stats^
-- The marketplace in figures.
SELECT
  (SELECT count(*) FROM agent_services WHERE is_active)::int AS total_services,
  (SELECT count(*) FROM job_requests)::int AS total_jobs,
  (SELECT count(*) FROM job_requests WHERE status = 'approved')::int AS completed_jobs,
  (
    SELECT count(*) FROM (
      SELECT agent_id FROM agent_services WHERE is_active
      UNION SELECT client_agent_id FROM job_requests
      UNION SELECT provider_agent_id FROM job_requests
    ) AS agents
  )::int AS active_agents;

-- name: marketplace_volume
-- What was released to providers, by currency.
SELECT j.price_currency AS currency, t.decimals, sum(j.price_amount) AS amount
FROM job_requests AS j
JOIN tokens AS t ON t.mint = j.price_mint
WHERE j.escrow_status = 'released'
GROUP BY j.price_currency, t.decimals
ORDER BY j.price_currency;

-- name: leaderboard
-- The services that have earned most, in units of their tokens.
SELECT s.id, s.name, s.agent_id, s.category, s.total_earnings, s.price_currency, s.total_jobs, s.successful_jobs,
  s.rating_sum, s.rating_count, t.decimals
FROM agent_services AS s
JOIN tokens AS t ON t.mint = s.price_mint
WHERE s.is_active
ORDER BY s.total_earnings / 10::numeric ^ t.decimals DESC, s.successful_jobs DESC, s.id
LIMIT :limit;

-- name: seed_service$
-- Offer an example, unless it is there already.
INSERT INTO agent_services (
  user_id, agent_id, payout_address, name, description, category, pricing_model, price_amount, price_mint,
  price_currency, capabilities, tags, seed_name
)
VALUES (
  :user_id, :agent_id, :payout_address, :name, :description, :category, :pricing_model, :price_amount, :price_mint,
  :price_currency, :capabilities, :tags, :seed_name
)
ON CONFLICT (seed_name) DO NOTHING
RETURNING id;
