-- name: moments
-- What was logged of a transaction's transfers, of the claims that took them, and of what was paid out for those.
WITH subjects AS (
  SELECT :signature::text AS subject
  UNION
  SELECT unnest(:claims::text[])
  UNION
  SELECT p.id::text
  FROM job_fundings AS f
  JOIN payouts AS p ON p.job_id = f.job_id
  WHERE f.claim_id = ANY(:claims::text[]::uuid[])
)
SELECT e.type, e.at, e.subject, e.data ->> 'path' AS path, e.data ->> 'code' AS code
FROM subjects AS s
JOIN events AS e ON e.subject = s.subject
ORDER BY e.at, e.id
LIMIT :limit::int;

-- name: moments_of_job
-- What was logged of a job and of its payouts, oldest first.
WITH subjects AS (
  SELECT :job_id::text AS subject
  UNION ALL
  SELECT p.id::text FROM payouts AS p WHERE p.job_id = :job_id::text::uuid
)
SELECT e.type, e.at, e.data ->> 'signature' AS signature, e.data ->> 'by' AS done_by, e.data ->> 'reason' AS reason
FROM subjects AS s
JOIN events AS e ON e.subject = s.subject
ORDER BY e.at, e.id
LIMIT :limit::int;

-- name: moments_of_settlement
-- What was logged of a payment over x402, oldest first.
SELECT type, at, data ->> 'signature' AS signature, NULL::text AS done_by, data ->> 'reason' AS reason
FROM events
WHERE subject = :settlement_id::text
ORDER BY at, id
LIMIT :limit::int;
