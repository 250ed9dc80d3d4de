-- A job that was ordered with a test key moves no live figure: no total of the marketplace, no earnings, no rating.
CREATE FUNCTION job_counts(environment text, client_user_id text, provider_user_id text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN environment = 'live' AND job_earns_reputation(client_user_id, provider_user_id);
COMMENT ON FUNCTION job_counts IS
  'False for a job of tests, or between a user and itself: it counts for no total, rating or place of its service';

UPDATE ratings AS r SET counted_at = NULL
FROM job_requests AS j
WHERE j.id = r.job_id AND r.counted_at IS NOT NULL
  AND NOT job_counts(j.environment, j.client_user_id, j.provider_user_id);
UPDATE agent_services AS s
SET total_jobs = c.jobs, successful_jobs = c.successes, total_earnings = c.earned, response_seconds = c.seconds,
  rating_sum = c.rating_sum, rating_count = c.ratings
FROM (
  SELECT o.id,
    count(j.id) FILTER (WHERE j.accepted_at IS NOT NULL)::int AS jobs,
    count(j.id) FILTER (WHERE j.escrow_status = 'released')::int AS successes,
    coalesce(sum(p.amount) FILTER (WHERE j.escrow_status = 'released'), 0) AS earned,
    coalesce(
      sum(extract(epoch FROM j.completed_at - j.accepted_at)) FILTER (WHERE j.escrow_status = 'released'), 0
    )::double precision AS seconds,
    coalesce(sum(r.score) FILTER (WHERE r.counted_at IS NOT NULL), 0)::int AS rating_sum,
    count(r.score) FILTER (WHERE r.counted_at IS NOT NULL)::int AS ratings
  FROM agent_services AS o
  LEFT JOIN job_requests AS j ON j.service_id = o.id AND escrow_is_settled(j.escrow_status)
    AND job_counts(j.environment, j.client_user_id, j.provider_user_id)
  LEFT JOIN payouts AS p ON p.job_id = j.id AND p.part = 'escrow' AND p.status = 'settled'
  LEFT JOIN ratings AS r ON r.job_id = j.id
  GROUP BY o.id
) AS c
WHERE s.id = c.id
  AND EXISTS (SELECT FROM job_requests AS t WHERE t.service_id = s.id AND t.environment = 'test');
