-- name: payment_events
-- What events about transfers mean to whose wallets were paid, with the payment request that each transfer names.
SELECT
  e.id AS event_id, e.type AS event_type, e.at, r.user_id, coalesce(w.environment, 'live') AS environment,
  coalesce((e.data ->> 'needsWitness')::boolean, false) AS needs_witness,
  t.signature, t.path, t.slot, t.source_owner AS payer, t.destination_owner AS recipient, t.mint, k.decimals, k.symbol,
  t.amount - t.fee AS amount, t.fee, t.memos, n.nonce, n.mint AS request_mint, n.amount AS request_amount, n.resource,
  n.reference, n.expires_at, q.decimals AS request_decimals, q.symbol AS request_symbol
FROM events AS e
JOIN transfers AS t ON t.signature = e.subject AND t.path = e.data ->> 'path'
JOIN (
  SELECT address, user_id, owned_since, NULL::timestamptz AS owned_until FROM recipients
  UNION ALL
  SELECT address, user_id, owned_since, owned_until FROM former_recipients
) AS r ON r.address = t.destination_owner
  AND (r.owned_since IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) >= r.owned_since)
  AND (r.owned_until IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) < r.owned_until)
LEFT JOIN recipients AS w ON w.address = t.destination_owner
LEFT JOIN tokens AS k ON k.mint = t.mint
LEFT JOIN LATERAL (
  SELECT * FROM nonces
  WHERE reference = ANY(t.reference_keys) AND recipient = t.destination_owner AND user_id = r.user_id
  UNION ALL
  SELECT * FROM nonces
  WHERE nonce = ANY(t.memos) AND recipient = t.destination_owner AND user_id = r.user_id
  LIMIT 1
) AS n ON t.reference_keys <> '{}' OR t.memos <> '{}'
LEFT JOIN tokens AS q ON q.mint = n.mint
WHERE e.id = ANY(:ids::bigint[])
  AND kind_is_payment(t.kind)
  AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner);

-- name: claim_events
-- What events about claims mean to the merchants they are claims with.
SELECT
  e.id AS event_id, e.type AS event_type, e.at, e.data ->> 'code' AS code, e.data ? 'mint' AS is_first, c.user_id,
  c.environment, c.id AS claim_id, c.nonce, c.signature, c.path, c.payer, c.recipient, c.mint, k.decimals, k.symbol,
  c.amount, c.received, c.resource, c.agent_id, c.for_request, n.reference, n.expires_at
FROM events AS e
JOIN transactions AS c ON c.id = e.subject::uuid
LEFT JOIN tokens AS k ON k.mint = c.mint
LEFT JOIN nonces AS n ON c.for_request AND n.nonce = c.nonce
WHERE e.id = ANY(:ids::bigint[]);

-- name: request_events
-- What events about payment requests mean to the merchants who made them.
SELECT
  e.id AS event_id, e.type AS event_type, e.at, n.user_id, n.environment, n.nonce, n.recipient, n.mint, k.decimals,
  k.symbol, n.amount, n.resource, n.reference, n.expires_at
FROM events AS e
JOIN nonces AS n ON n.nonce = e.subject
LEFT JOIN tokens AS k ON k.mint = n.mint
WHERE e.id = ANY(:ids::bigint[]);

-- name: job_events
-- What events about jobs mean to client and provider: a row for each of them.
SELECT
  e.id AS event_id, e.type AS event_type, e.at, e.data ->> 'by' AS made_by, e.data ->> 'reason' AS reason, p.user_id,
  p.role, j.environment, j.id AS job_id, j.service_id, j.client_agent_id, j.provider_agent_id,
  j.price_amount AS amount, j.price_mint AS mint, k.decimals, k.symbol
FROM events AS e
JOIN job_requests AS j ON j.id = e.subject::uuid
JOIN LATERAL (
  SELECT j.client_user_id AS user_id, 'client' AS role
  UNION ALL
  SELECT j.provider_user_id, 'provider' WHERE j.provider_user_id <> j.client_user_id
) AS p ON true
LEFT JOIN tokens AS k ON k.mint = j.price_mint
WHERE e.id = ANY(:ids::bigint[]);

-- name: payout_events
-- What events about payouts mean to the client and the provider of their jobs: a row for each of them.
SELECT
  e.id AS event_id, e.type AS event_type, e.at, e.data ->> 'signature' AS signature, e.data ->> 'reason' AS waiting_reason,
  p.user_id, p.role, j.environment, o.id AS payout_id, o.job_id, o.kind, o.reason, o.recipient, o.amount, o.mint,
  k.decimals, k.symbol
FROM events AS e
JOIN payouts AS o ON o.id = e.subject::uuid
JOIN job_requests AS j ON j.id = o.job_id
JOIN LATERAL (
  SELECT j.client_user_id AS user_id, 'client' AS role
  UNION ALL
  SELECT j.provider_user_id, 'provider' WHERE j.provider_user_id <> j.client_user_id
) AS p ON true
LEFT JOIN tokens AS k ON k.mint = o.mint
WHERE e.id = ANY(:ids::bigint[]);

-- name: account_events
-- What events about token accounts mean to the users of their wallets.
SELECT
  e.id AS event_id, e.type AS event_type, e.at, e.data ->> 'slot' AS slot, e.data ->> 'drift' AS drift,
  e.data ->> 'gaps' AS gaps, r.user_id, r.environment, a.address AS account, a.recipient AS wallet, a.mint, k.decimals,
  k.symbol
FROM events AS e
JOIN token_accounts AS a ON a.address = e.subject
JOIN recipients AS r ON r.address = a.recipient
LEFT JOIN tokens AS k ON k.mint = a.mint
WHERE e.id = ANY(:ids::bigint[]);

-- name: named_events
-- Events that say themselves whose they are.
SELECT e.id AS event_id, e.type AS event_type, e.at, e.user_id, e.subject, e.data, e.data ->> 'environment' AS environment,
  k.mint, k.decimals, k.symbol
FROM events AS e
LEFT JOIN tokens AS k ON k.mint = e.data ->> 'mint'
WHERE e.id = ANY(:ids::bigint[]) AND e.user_id IS NOT NULL;
