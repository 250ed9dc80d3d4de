-- name: claim_contexts
-- All that is known about some claims: one row for each transfer of their transactions, or one without.
--
-- The merchant is who asks, or else whose payment request it is; an admin may name the wallet of any. A nonce is used
-- by a claim of this merchant's, or, unless it is a payment request of theirs, by one of this payer's with any. What is laterally
-- joined is looked up row by row in its index, however many claims the planner believes there to be: it learns of them late.
-- What is compared by IS NOT DISTINCT FROM cannot lead it to another index: one of all the claims of a merchant or payer.
SELECT
  p.n::int AS n,
  merchant.user_id,
  wallet.address IS NOT NULL AS has_wallets,
  p.for_tests AND (
    coalesce(request.environment = 'live', false)
    OR coalesce(known.environment = 'live', false)
    OR coalesce(named.environment = 'live' AND named.user_id = merchant.user_id, false)
    OR p.recipient IS NULL AND request.nonce IS NULL AND wallet.address IS NULL AND EXISTS (
      SELECT FROM recipients AS r WHERE r.user_id = merchant.user_id AND r.active
    )
  ) AS asks_for_live,
  coalesce(paid.environment = 'live', false) AS is_to_live_wallet,
  coalesce(named.active, false) AS named_is_followed,
  request.nonce IS NOT NULL AS is_registered,
  request.recipient AS request_recipient,
  request.mint AS request_mint,
  request.currency AS request_currency,
  request.amount AS request_amount,
  request.scheme AS request_scheme,
  request.resource AS request_resource,
  request.environment AS request_environment,
  request.expires_at AS request_expires_at,
  request.final_only AS request_final_only,
  request.proof_version AS request_proof_version,
  used.id AS used_id,
  used.user_id AS used_user_id,
  used.signature AS used_signature,
  used.path AS used_path,
  used.payer AS used_payer,
  used.answered_at AS used_answered_at,
  used.asked_with AS used_asked_with,
  known.id AS known_id,
  known.status AS known_status,
  known.code AS known_code,
  known.answered_at AS known_answered_at,
  known.asked_with AS known_asked_with,
  EXISTS (
    SELECT FROM transfers AS s
    WHERE s.signature = p.signature AND s.finality <> 'orphaned' AND s.awaits_witness_since IS NOT NULL
  ) AS awaits_witness,
  t.path,
  t.slot,
  t.mint,
  t.source_owner,
  t.destination_owner,
  t.authority,
  t.amount - t.fee AS credited,
  t.finality = 'finalized' AS is_final,
  paid_at(t.block_time, t.notified_at, t.recorded_at) AS paid_at,
  -- What was given back, or gave something back, pays for nothing, as if another claim had used it.
  taker.id IS NOT NULL OR t.path IS NOT NULL AND transfer_pays_nothing(t.signature, t.path) AS is_taken,
  coalesce(
    paid.active AND paid.user_id = merchant.user_id AND (
      paid.owned_since IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) >= paid.owned_since
    ),
    false
  ) AS is_to_merchant,
  CASE WHEN t.reference_keys <> '{}' OR t.memos <> '{}' THEN coalesce(
    (
      SELECT bool_and(n.nonce <> p.nonce)
      FROM (
        -- One of a former owner of the wallet is no request of what is paid to the present one.
        SELECT q.nonce
        FROM (
          SELECT nonce, user_id, recipient FROM nonces WHERE reference = ANY(t.reference_keys)
          UNION ALL
          SELECT nonce, user_id, recipient FROM nonces WHERE nonce = ANY(t.memos)
        ) AS q
        WHERE q.recipient = t.destination_owner
          AND wallet_was_of(q.recipient, q.user_id, paid_at(t.block_time, t.notified_at, t.recorded_at))
        UNION ALL
        SELECT nonce FROM job_requests
        WHERE reference = ANY(t.reference_keys) AND settlement_wallet = t.destination_owner
        UNION ALL
        SELECT nonce FROM job_requests WHERE nonce = ANY(t.memos) AND settlement_wallet = t.destination_owner
      ) AS n
    ),
    false
  ) ELSE false END AS names_another
FROM unnest(
  :user_ids::text[], :nonces::text[], :signatures::text[], :payers::text[], :recipients::text[], :by_names::boolean[],
  :for_tests::boolean[]
) WITH ORDINALITY AS p (user_id, nonce, signature, payer, recipient, by_name, for_tests, n)
LEFT JOIN nonces AS request
  ON request.nonce = p.nonce AND (p.user_id IS NULL OR request.user_id = p.user_id)
LEFT JOIN recipients AS named ON named.address = p.recipient
CROSS JOIN LATERAL (
  SELECT coalesce(p.user_id, request.user_id, CASE WHEN p.by_name THEN named.user_id END) AS user_id
) AS merchant
LEFT JOIN LATERAL (
  SELECT r.address FROM recipients AS r
  WHERE r.user_id = merchant.user_id AND r.active AND (NOT p.for_tests OR r.environment = 'test')
  LIMIT 1
) AS wallet ON true
LEFT JOIN LATERAL (
  SELECT * FROM transactions AS c
  WHERE c.nonce = p.nonce
    AND (
      c.user_id IS NOT DISTINCT FROM merchant.user_id
      OR request.nonce IS NULL AND c.payer IS NOT DISTINCT FROM p.payer
    )
    AND claim_holds_transfer(c.status)
  ORDER BY c.user_id IS NOT DISTINCT FROM merchant.user_id DESC
  LIMIT 1
) AS used ON true
LEFT JOIN LATERAL (
  SELECT * FROM transactions AS c
  WHERE c.nonce = p.nonce AND c.signature = p.signature
    AND c.payer IS NOT DISTINCT FROM p.payer AND c.user_id IS NOT DISTINCT FROM merchant.user_id
  LIMIT 1
) AS known ON true
LEFT JOIN transfers AS t
  -- What only one node has seen is not there yet.
  ON t.signature = p.signature AND transfer_counts(t.finality, t.awaits_witness_since)
  AND kind_is_payment(t.kind)
LEFT JOIN recipients AS paid ON paid.address = t.destination_owner
LEFT JOIN LATERAL (
  SELECT * FROM transactions AS c
  WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
  LIMIT 1
) AS taker ON true
ORDER BY p.n, t.path;
