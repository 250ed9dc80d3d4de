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
