-- name: payout_of_job^
-- A payout, of a certain job or of any, with the provider and the environment of its job.
SELECT p.id, p.job_id, p.kind, p.status, p.wallet, p.recipient, j.provider_user_id, j.environment
FROM payouts AS p
JOIN job_requests AS j ON j.id = p.job_id
WHERE p.id = :payout_id AND (:job_id::uuid IS NULL OR p.job_id = :job_id);

-- name: ask_redirect$
-- Ask that a payout goes to another wallet; answers nothing where something else is asked for it already, or it does not
-- go any more where the asker believes.
WITH asked AS (
  INSERT INTO payout_redirects (payout_id, from_recipient, to_recipient, asked_by)
  SELECT id, recipient, :to_recipient, :asked_by FROM payouts WHERE id = :payout_id AND recipient = :from_recipient
  ON CONFLICT (payout_id) WHERE ended_at IS NULL DO NOTHING
  RETURNING payout_id, from_recipient, to_recipient, asked_by
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'payout.redirect_asked', payout_id::text, asked_by,
    jsonb_build_object('from', from_recipient, 'to', to_recipient)
  FROM asked
)
SELECT payout_id FROM asked;

-- name: lock_redirected!
-- Lock the payouts for which another wallet is asked, so that nobody makes an attempt at them meanwhile.
SELECT p.id
FROM payout_redirects AS r
JOIN payouts AS p ON p.id = r.payout_id
WHERE r.ended_at IS NULL
ORDER BY p.id
FOR UPDATE OF p;

-- name: apply_redirects$
-- Give payouts of which nothing can land their new recipients. Wishes about payouts that are settled, or that were sent
-- elsewhere while the wish was written, end too.
WITH moved AS (
  UPDATE payouts AS p
  SET recipient = r.to_recipient, tries = 0, next_try_at = clock_timestamp()
  FROM payout_redirects AS r
  WHERE r.ended_at IS NULL AND p.id = r.payout_id AND p.recipient = r.from_recipient
    AND payout_is_unsigned(p.status)
    AND NOT EXISTS (SELECT FROM payout_attempts AS a WHERE a.payout_id = p.id AND a.ended_at IS NULL)
  RETURNING r.id AS redirect_id, p.id, p.job_id, r.from_recipient, r.to_recipient, r.asked_by
),
ended AS (
  UPDATE payout_redirects AS r
  SET ended_at = clock_timestamp(), outcome = CASE WHEN r.id IN (SELECT redirect_id FROM moved) THEN 'applied' ELSE 'too_late' END
  FROM payouts AS p
  WHERE r.ended_at IS NULL AND p.id = r.payout_id
    AND (p.status = 'settled' OR p.recipient <> r.from_recipient OR r.id IN (SELECT redirect_id FROM moved))
),
logged AS (
  INSERT INTO events (type, subject, user_id, agent_id, data)
  SELECT 'payout.redirected', m.id::text, j.client_user_id, j.client_agent_id,
    jsonb_build_object('job', m.job_id, 'from', m.from_recipient, 'to', m.to_recipient, 'by', m.asked_by)
  FROM moved AS m
  JOIN job_requests AS j ON j.id = m.job_id
)
SELECT count(*)::int FROM moved;
