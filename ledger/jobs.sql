-- name: step_job^
-- Move a job from where it is believed to stand. Answers nothing where it stands elsewhere or its money does.
WITH moved AS (
  UPDATE job_requests
  SET
    status = :to::text::job_status,
    escrow_status = CASE
      WHEN :to::text = 'disputed' AND escrow_status = 'escrowed' THEN 'disputed' ELSE escrow_status
    END,
    output = CASE WHEN :to::text = 'completed' THEN :output::jsonb ELSE output END,
    dispute_reason = CASE WHEN :to::text = 'disputed' THEN :reason::text ELSE dispute_reason END,
    resolution = CASE
      WHEN status = 'disputed' THEN CASE :to::text WHEN 'approved' THEN 'release' ELSE 'refund' END ELSE resolution
    END,
    accepted_at = CASE WHEN :to::text = 'accepted' THEN clock_timestamp() ELSE accepted_at END,
    completed_at = CASE WHEN :to::text = 'completed' THEN clock_timestamp() ELSE completed_at END,
    ended_at = CASE WHEN :to::text IN ('approved', 'cancelled', 'expired') THEN clock_timestamp() END,
    updated_at = clock_timestamp()
  WHERE id = :id::uuid
    AND status = ANY(:from_statuses::text[]::job_status[])
    AND escrow_status = ANY(:escrow_statuses::text[]::escrow_status[])
    AND (NOT :in_time::boolean OR deadline > clock_timestamp())
  RETURNING id, status, escrow_status, client_user_id, client_agent_id
),
told AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.' || status, id::text, client_user_id, client_agent_id,
    jsonb_build_object('by', :by::text, 'reason', :reason::text, 'escrowStatus', escrow_status)
  FROM moved
)
SELECT id, status, escrow_status FROM moved;

-- name: expire_jobs^
-- Jobs that were not funded or not done in time have expired.
WITH due AS (
  SELECT j.id
  FROM job_requests AS j
  WHERE j.status IN ('pending', 'accepted', 'in_progress')
    AND (
      j.deadline < clock_timestamp()
      OR (
        j.escrow_status = 'pending'
        AND j.fund_until < clock_timestamp() - make_interval(secs => :grace_seconds)
        -- What was paid in time and is not final yet may still fund it.
        AND NOT EXISTS (
          SELECT FROM transactions AS c
          WHERE c.user_id = j.settlement_user_id AND c.nonce = j.nonce
            AND c.status IN ('confirmed', 'finalized', 'reversed')
        )
      )
    )
  LIMIT :limit
  FOR UPDATE OF j SKIP LOCKED
),
moved AS (
  UPDATE job_requests AS j
  SET status = 'expired', ended_at = clock_timestamp(), updated_at = clock_timestamp()
  FROM due WHERE j.id = due.id AND j.status IN ('pending', 'accepted', 'in_progress')
  RETURNING j.id, j.client_user_id, j.client_agent_id, j.escrow_status
),
told AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.expired', id::text, client_user_id, client_agent_id, jsonb_build_object('escrowStatus', escrow_status)
  FROM moved
)
SELECT count(*)::int AS jobs FROM moved;

-- name: approve_silent_jobs^
-- Jobs whose client neither approved nor disputed them in time are approved.
WITH moved AS (
  UPDATE job_requests AS j
  SET status = 'approved', ended_at = clock_timestamp(), updated_at = clock_timestamp()
  FROM (
    SELECT id FROM job_requests
    WHERE status = 'completed' AND escrow_status = 'escrowed'
      AND completed_at < clock_timestamp() - make_interval(secs => :review_seconds)
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
  ) AS due
  WHERE j.id = due.id AND j.status = 'completed'
  RETURNING j.id, j.client_user_id, j.client_agent_id
),
told AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'job.approved', id::text, client_user_id, client_agent_id, '{"by": "silence"}'::jsonb FROM moved
)
SELECT count(*)::int AS jobs FROM moved;

-- name: begin_funded_jobs^
-- Work begins on jobs that are accepted and funded, in whichever order that came.
WITH moved AS (
  UPDATE job_requests AS j SET status = 'in_progress', updated_at = clock_timestamp()
  FROM (
    SELECT id FROM job_requests WHERE status = 'accepted' AND escrow_status = 'escrowed'
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
  ) AS due
  WHERE j.id = due.id AND j.status = 'accepted'
  RETURNING j.id, j.client_user_id, j.client_agent_id
),
told AS (
  INSERT INTO events (type, subject, user_id, agent_id)
  SELECT 'job.in_progress', id::text, client_user_id, client_agent_id FROM moved
)
SELECT count(*)::int AS jobs FROM moved;
