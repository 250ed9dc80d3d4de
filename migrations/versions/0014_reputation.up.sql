-- Agents' ids belong to the users who used them first.
CREATE TABLE agent_ids (
  agent_id text PRIMARY KEY,
  user_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE agent_ids IS 'Whose each agent on the marketplace is: the user who first offered or ordered under that id';
INSERT INTO agent_ids (agent_id, user_id, created_at)
SELECT DISTINCT ON (agent_id) agent_id, user_id, created_at
FROM (
  SELECT agent_id, user_id, created_at FROM agent_services
  UNION ALL
  SELECT client_agent_id, client_user_id, created_at FROM job_requests
) AS used
ORDER BY agent_id, created_at;

-- Reputation is earned from others.
CREATE FUNCTION job_earns_reputation(client_user_id text, provider_user_id text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN client_user_id <> provider_user_id;
COMMENT ON FUNCTION job_earns_reputation IS
  'False for a job between a user and itself, which counts for no total, rating or place of its service';
UPDATE ratings AS r SET counted_at = NULL
FROM job_requests AS j
WHERE j.id = r.job_id AND r.counted_at IS NOT NULL AND NOT job_earns_reputation(j.client_user_id, j.provider_user_id);
UPDATE agent_services AS s
SET total_jobs = s.total_jobs - own.jobs, successful_jobs = s.successful_jobs - own.successes,
  total_earnings = s.total_earnings - own.earned, response_seconds = greatest(s.response_seconds - own.seconds, 0),
  rating_sum = s.rating_sum - own.rating_sum, rating_count = s.rating_count - own.rating_count
FROM (
  SELECT j.service_id,
    count(*) FILTER (WHERE j.accepted_at IS NOT NULL)::int AS jobs,
    count(*) FILTER (WHERE j.escrow_status = 'released')::int AS successes,
    coalesce(sum(p.amount) FILTER (WHERE j.escrow_status = 'released'), 0) AS earned,
    coalesce(
      sum(extract(epoch FROM j.completed_at - j.accepted_at)) FILTER (WHERE j.escrow_status = 'released'), 0
    )::double precision AS seconds,
    coalesce(sum(r.score) FILTER (WHERE j.escrow_status = 'released'), 0)::int AS rating_sum,
    count(r.score) FILTER (WHERE j.escrow_status = 'released')::int AS rating_count
  FROM job_requests AS j
  LEFT JOIN payouts AS p ON p.job_id = j.id AND p.part = 'escrow' AND p.status = 'settled'
  LEFT JOIN ratings AS r ON r.job_id = j.id
  WHERE escrow_is_settled(j.escrow_status) AND NOT job_earns_reputation(j.client_user_id, j.provider_user_id)
  GROUP BY j.service_id
) AS own
WHERE s.id = own.service_id;

-- A payout that waits can be sent elsewhere, by whoever may say so; the worker does it while nothing of it can land.
CREATE TABLE payout_redirects (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  payout_id uuid NOT NULL REFERENCES payouts (id),
  from_recipient address NOT NULL,
  to_recipient address NOT NULL,
  asked_by text NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  outcome text CHECK (outcome IN ('applied', 'too_late')),
  CHECK (from_recipient <> to_recipient),
  CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE payout_redirects IS 'A wish that a payout that waits goes to another wallet';
COMMENT ON COLUMN payout_redirects.asked_by IS 'The user whose key asked for it';
CREATE UNIQUE INDEX payout_redirects_open ON payout_redirects (payout_id) WHERE ended_at IS NULL;
CREATE INDEX payout_redirects_payout_id ON payout_redirects (payout_id);
