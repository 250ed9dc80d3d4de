-- name: requeue_waiting$
-- Payouts that have waited for long enough are tried again.
WITH moved AS (
  UPDATE payouts SET status = 'queued', waiting_reason = NULL
  WHERE status = 'waiting' AND next_try_at <= clock_timestamp()
  RETURNING 1
)
SELECT count(*)::int FROM moved;

-- name: queued_payouts
-- Payouts to be made into transactions, oldest first.
SELECT p.id, p.kind, p.wallet, p.recipient, p.mint, p.amount, p.reference, p.tries, c.received AS brought,
  t.source AS came_from, k.symbol, k.decimals, p.asked_at IS NOT NULL AS is_asked,
  (
    SELECT count(*) FROM payouts AS o
    WHERE o.kind = 'refund' AND o.recipient = p.recipient AND o.created_at > clock_timestamp() - interval '1 day'
      AND (NOT payout_is_unsigned(o.status)
        OR (o.status = 'queued' AND (o.created_at, o.id) < (p.created_at, p.id)))
  )::int AS refunds_of_day,
  (
    SELECT coalesce(sum(a.fee_lamports - a.gift_lamports), 0) FROM payout_attempts AS a
    WHERE a.payout_id = p.id AND a.outcome = 'failed'
  )::bigint AS unborne_lamports,
  gift_left_lamports(p.recipient, :payee_lamports_max, :day_lamports_max)
FROM payouts AS p
JOIN transactions AS c ON c.id = p.claim_id
JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
LEFT JOIN tokens AS k ON k.mint = p.mint
WHERE p.status = 'queued' AND p.next_try_at <= clock_timestamp()
ORDER BY p.created_at, p.id
LIMIT :limit;

-- name: wait_payout!
-- A payout cannot be sent now; it is tried again after a while. What it waits for is logged once, not at each try.
WITH moved AS (
  UPDATE payouts
  SET status = 'waiting', waiting_reason = :reason, tries = tries + 1,
    next_try_at = clock_timestamp() + make_interval(secs => :pause_seconds)
  WHERE id = :id AND status = 'queued'
  RETURNING id, waiting_reason, tries
)
INSERT INTO events (type, subject, data)
SELECT 'payout.waiting', m.id::text, jsonb_build_object('reason', m.waiting_reason)
FROM moved AS m
WHERE m.waiting_reason IS DISTINCT FROM (
  SELECT e.data ->> 'reason' FROM events AS e
  WHERE e.subject = m.id::text AND e.type = 'payout.waiting'
  ORDER BY e.id DESC
  LIMIT 1
);

-- name: leave_to_operator$
-- Payouts that we have no key for wait for an operator's signature.
WITH moved AS (
  UPDATE payouts SET status = 'awaiting_signature'
  WHERE status = 'queued' AND wallet IS DISTINCT FROM :signer::text
  RETURNING 1
)
SELECT count(*)::int FROM moved;

-- name: take_from_operator$
-- Payouts that waited for an operator's signature though we have the key now, if nothing of theirs can land any more.
WITH moved AS (
  UPDATE payouts AS p SET status = 'queued'
  WHERE p.status = 'awaiting_signature' AND p.wallet = :signer
    AND NOT EXISTS (SELECT FROM payout_attempts AS a WHERE a.payout_id = p.id AND a.ended_at IS NULL)
  RETURNING 1
)
SELECT count(*)::int FROM moved;

-- name: lock_gifts!
-- One after the other gives fees away, so that nobody counts on what another gives at the same moment.
SELECT pg_advisory_xact_lock(402002);

-- name: store_signed$
-- Keep the signed bytes of an attempt before anybody can see them. Nothing happens where another attempt lives.
WITH moved AS (
  UPDATE payouts
  SET status = 'signed', charged = :charged, charged_lamports = :charged_lamports, rent_lamports = :rent_lamports
  -- Whoever is paid may have changed since it was signed.
  WHERE id = :payout_id AND status = 'queued' AND recipient = :recipient
    AND NOT EXISTS (SELECT FROM payout_attempts WHERE payout_id = :payout_id AND ended_at IS NULL)
    AND :gift_lamports::bigint <= gift_left_lamports(recipient, :payee_lamports_max, :day_lamports_max)
  RETURNING id
)
INSERT INTO payout_attempts (
  payout_id, source_account, message, last_valid_block_height, signed_slot, fee_lamports, gift_lamports, signature, wire,
  signed_at
)
SELECT id, :source_account::text, :message, :last_valid_block_height,
  -- A node may say too low a slot; what the ledger has proven was there by then.
  greatest(:signed_slot::bigint, (SELECT audited_slot FROM token_accounts WHERE address = :source_account::text)),
  :fee_lamports, :gift_lamports, :signature, :wire, clock_timestamp()
FROM moved
RETURNING id;

-- name: store_unsigned$
-- Keep the message of an attempt that an operator is to sign. Nothing happens where another attempt lives, or has had
-- the nonce by which it is to live.
WITH open AS (
  UPDATE payouts SET charged = :charged, charged_lamports = :charged_lamports, rent_lamports = :rent_lamports
  WHERE id = :payout_id AND status = 'awaiting_signature' AND recipient = :recipient
    AND NOT EXISTS (SELECT FROM payout_attempts WHERE payout_id = :payout_id AND ended_at IS NULL)
    AND NOT EXISTS (
      SELECT FROM payout_attempts AS o
      WHERE o.nonce_account = :nonce_account::text AND (o.nonce_value = :nonce_value::text OR o.ended_at IS NULL)
    )
    AND :gift_lamports::bigint <= gift_left_lamports(recipient, :payee_lamports_max, :day_lamports_max)
  RETURNING id
)
INSERT INTO payout_attempts (
  payout_id, source_account, message, last_valid_block_height, signed_slot, nonce_account, nonce_value, nonce_slot,
  fee_lamports, gift_lamports
)
SELECT id, :source_account::text, :message, :last_valid_block_height,
  CASE WHEN :nonce_account::text IS NULL THEN
    greatest(:signed_slot::bigint, (SELECT audited_slot FROM token_accounts WHERE address = :source_account::text))
  END,
  :nonce_account, :nonce_value, :nonce_slot, :fee_lamports, :gift_lamports
FROM open
RETURNING id;

-- name: store_imported$
-- Keep the bytes that an operator has signed; they must be those of the living attempt.
WITH found AS (
  UPDATE payout_attempts AS a
  SET signature = :signature, wire = :wire, signed_at = clock_timestamp()
  FROM payouts AS p
  WHERE a.payout_id = p.id AND p.status = 'awaiting_signature' AND a.ended_at IS NULL AND a.signature IS NULL
    AND a.message = :message
  RETURNING a.payout_id
)
UPDATE payouts AS p SET status = 'signed' FROM found AS f WHERE p.id = f.payout_id RETURNING p.id;

-- name: living_attempts
-- Attempts that may still land.
SELECT a.id, a.payout_id, a.signature, a.wire, a.last_valid_block_height, a.signed_slot, a.dead_from_slot, a.nonce_account,
  a.nonce_value, a.nonce_slot, a.error, p.status, p.reference,
  extract(epoch FROM clock_timestamp() - a.created_at)::double precision AS age_seconds
FROM payout_attempts AS a
JOIN payouts AS p ON p.id = a.payout_id
WHERE a.ended_at IS NULL
ORDER BY a.created_at, a.id
LIMIT :limit;

-- name: note_sent!
-- A node has taken an attempt.
WITH noted AS (
  UPDATE payout_attempts SET sent_at = coalesce(sent_at, clock_timestamp()), error = NULL
  WHERE id = :id AND ended_at IS NULL
  RETURNING payout_id, signature
),
moved AS (
  UPDATE payouts AS p SET status = 'sent' FROM noted AS n WHERE p.id = n.payout_id AND p.status = 'signed'
  RETURNING p.id, n.signature
)
INSERT INTO events (type, subject, data)
SELECT 'payout.sent', id::text, jsonb_build_object('signature', signature) FROM moved;

-- name: note_attempt_error!
-- What a node said against an attempt; it may land all the same.
UPDATE payout_attempts SET error = :error WHERE id = :id AND ended_at IS NULL;

-- name: note_beyond!
-- The finalized chain has passed the last height at which these attempts could land.
-- Of several slots the lowest is kept: each is beyond it, and a node may have said one that never comes. But none is beyond
-- it that comes before as many slots have passed as blocks live.
UPDATE payout_attempts AS a
SET dead_from_slot = least(a.dead_from_slot, greatest(:slot, a.signed_slot + :lifetime_blocks))
WHERE a.id = ANY(:ids::uuid[]) AND a.ended_at IS NULL AND a.last_valid_block_height < :height
  AND (a.dead_from_slot IS NULL OR a.dead_from_slot > greatest(:slot, a.signed_slot + :lifetime_blocks));

-- name: end_attempts_by!
-- None of these living attempts can land beyond a block height, or was signed after a slot.
UPDATE payout_attempts AS a
SET last_valid_block_height = least(a.last_valid_block_height, :height),
  signed_slot = least(
    a.signed_slot, greatest(:slot, (SELECT s.audited_slot FROM token_accounts AS s WHERE s.address = a.source_account))
  )
WHERE a.id = ANY(:ids::uuid[]) AND a.ended_at IS NULL AND (a.last_valid_block_height > :height OR a.signed_slot > :slot);

-- name: note_advanced!
-- The nonce by which an attempt could land was advanced, finalized at a slot.
UPDATE payout_attempts SET dead_from_slot = :slot
WHERE id = :id AND ended_at IS NULL AND dead_from_slot IS NULL AND nonce_account IS NOT NULL;

-- name: uses_of_nonce
-- Attempts that were given a value of a nonce account, newest first.
SELECT payout_id, nonce_value, created_at, signature, dead_from_slot, outcome
FROM payout_attempts
WHERE nonce_account = :nonce_account
ORDER BY created_at DESC, id
LIMIT :limit;

-- name: proven_absent
-- Of these attempts, those of which the ledger, proven complete beyond the end of their lives, knows nothing.
SELECT a.id
FROM payout_attempts AS a
JOIN payouts AS p ON p.id = a.payout_id
JOIN token_accounts AS s ON s.address = a.source_account
WHERE a.id = ANY(:ids::uuid[]) AND a.ended_at IS NULL
  AND s.audited_slot >= a.dead_from_slot AND s.drift = 0 AND s.gaps = 0 AND s.heal_wanted_at IS NULL
  AND NOT EXISTS (
    SELECT FROM transfers AS t
    WHERE t.reference_keys @> ARRAY[p.reference::text] AND t.reference_keys <> '{}' AND t.finality <> 'orphaned'
      AND t.source_owner = p.wallet
      AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
  );

-- name: landed_for_nothing
-- Of these attempts, those that are final in the ledger and moved nothing, as of a payout to the wallet that pays: they
-- settle nothing, and land no second time.
SELECT a.id
FROM payout_attempts AS a
JOIN payouts AS p ON p.id = a.payout_id
WHERE a.id = ANY(:ids::uuid[]) AND a.ended_at IS NULL
  AND EXISTS (
    SELECT FROM transfers AS t
    WHERE t.signature = a.signature AND t.reference_keys @> ARRAY[p.reference::text] AND t.finality = 'finalized'
      AND t.source_owner = p.wallet
  )
  AND NOT EXISTS (
    SELECT FROM transfers AS t
    WHERE t.reference_keys @> ARRAY[p.reference::text] AND t.reference_keys <> '{}' AND t.finality <> 'orphaned'
      AND t.source_owner = p.wallet
      AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
  );

-- name: idle_signatures
-- Transactions with a payout's reference that are final in the ledger and moved nothing.
SELECT t.signature
FROM transfers AS t
WHERE t.reference_keys @> ARRAY[:reference::text] AND t.reference_keys <> '{}' AND t.finality <> 'orphaned'
GROUP BY t.signature
HAVING bool_and(
  t.finality = 'finalized' AND NOT moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
);

-- name: end_attempt$
-- An attempt can never land: its payout may be attempted again.
WITH gone AS (
  UPDATE payout_attempts AS a
  SET ended_at = clock_timestamp(), outcome = :outcome, error = coalesce(:error::text, a.error)
  FROM payouts AS p
  WHERE a.id = :id AND p.id = a.payout_id AND a.ended_at IS NULL AND payout_is_open(p.status)
  RETURNING a.payout_id, a.error
),
moved AS (
  UPDATE payouts AS p
  SET status = 'queued', tries = p.tries + 1,
    next_try_at = clock_timestamp()
      + make_interval(secs => least(:pause_seconds * 2 ^ least(p.tries, 20), :pause_max_seconds))
  FROM gone AS g
  WHERE p.id = g.payout_id AND payout_may_land(p.status)
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'payout.attempt_ended', payout_id::text, jsonb_build_object('outcome', :outcome::text, 'error', error) FROM gone
)
SELECT payout_id FROM gone;

-- name: payouts
-- Payouts with their newest attempts, open ones first.
SELECT p.id, p.job_id, p.kind, p.reason, p.wallet, p.recipient, p.mint, p.amount, p.reference, p.status,
  p.waiting_reason, p.tries, p.next_try_at, p.settled_signature, p.created_at, p.settled_at, t.symbol, t.decimals,
  (SELECT count(*) FROM payout_attempts AS a WHERE a.payout_id = p.id)::int AS attempts,
  (SELECT a.error FROM payout_attempts AS a WHERE a.payout_id = p.id ORDER BY a.created_at DESC LIMIT 1) AS error
FROM payouts AS p
JOIN tokens AS t ON t.mint = p.mint
WHERE :status::text IS NULL OR p.status::text = :status
ORDER BY (p.status = 'settled'), p.created_at DESC, p.id
LIMIT :limit;

-- name: payouts_to_sign
-- Payouts that wait for an operator's signature, with the message of the attempt that lives, if any.
SELECT p.id, p.kind, p.wallet, p.recipient, p.mint, p.amount, p.reference, p.tries, c.received AS brought,
  t.source AS came_from, k.symbol, k.decimals, true AS is_asked, 0 AS refunds_of_day, a.message, a.last_valid_block_height,
  a.nonce_account, a.nonce_value, a.nonce_slot,
  (
    SELECT coalesce(sum(o.fee_lamports - o.gift_lamports), 0) FROM payout_attempts AS o
    WHERE o.payout_id = p.id AND o.outcome = 'failed'
  )::bigint AS unborne_lamports,
  gift_left_lamports(p.recipient, :payee_lamports_max, :day_lamports_max)
FROM payouts AS p
JOIN transactions AS c ON c.id = p.claim_id
JOIN transfers AS t ON t.signature = c.signature AND t.path = c.path
LEFT JOIN tokens AS k ON k.mint = p.mint
LEFT JOIN payout_attempts AS a ON a.payout_id = p.id AND a.ended_at IS NULL
WHERE p.status = 'awaiting_signature' AND (cardinality(:ids::uuid[]) = 0 OR p.id = ANY(:ids::uuid[]))
ORDER BY p.created_at, p.id
LIMIT :limit;

-- name: retry_payouts$
-- Try waiting payouts again at once, those too that are small or one of many.
WITH moved AS (
  UPDATE payouts SET status = 'queued', waiting_reason = NULL, next_try_at = clock_timestamp(), asked_at = clock_timestamp()
  WHERE status = 'waiting' AND (cardinality(:ids::uuid[]) = 0 OR id = ANY(:ids::uuid[]))
  RETURNING 1
)
SELECT count(*)::int FROM moved;
