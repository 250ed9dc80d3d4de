-- name: reserve_settlement^
-- Reserve a message and keep its signed bytes, within the budgets of the day, before anybody can see them.
-- The settlement that was made, as `find_settlements` has it.
--
-- Nothing is made where the message, the payment identifier or the payment request that it names has a settlement, or
-- where the wallet is not followed for this merchant. Where a budget is used up a constraint of it is broken. The rows of
-- budgets are taken in one order, so that no two reservations wait for each other.
WITH made AS (
  INSERT INTO settlements (
    message_hash, user_id, environment, protocol_version, network, payer, fee_payer, pay_to, mint, destination, amount, memo,
    request_nonce, resource, final_only, signature, wire, last_valid_block_height, payment_identifier, payload_hash,
    lamports_reserved, signed_slot
  )
  SELECT
    :message_hash::bytea, r.user_id, :environment::text, :protocol_version::smallint, :network::text, :payer::text,
    :fee_payer::text, r.address, :mint::text, :destination::text, :amount::numeric, :memo::text,
    (
      SELECT n.nonce FROM nonces AS n
      WHERE n.nonce = :required_memo::text AND n.recipient = r.address AND n.user_id = r.user_id
    ),
    :resource::text, :final_only::boolean, :signature::text, :wire::bytea, :last_valid_block_height::bigint,
    :payment_identifier::text, :payload_hash::bytea, :lamports::bigint,
    -- A node may say too low a slot; what the ledger has proven was there by then.
    greatest(:signed_slot::bigint, (SELECT a.audited_slot FROM token_accounts AS a WHERE a.address = :destination::text))
  FROM recipients AS r
  WHERE r.address = :pay_to::text AND r.active AND r.user_id = :user_id::text
  ON CONFLICT DO NOTHING
  RETURNING *
),
budgeted AS (
  INSERT INTO settlement_budgets AS b (day, scope, subject, lamports, lamports_max)
  SELECT (m.created_at AT TIME ZONE 'UTC')::date, o.scope, o.subject, m.lamports_reserved, o.lamports_max
  FROM made AS m
  CROSS JOIN LATERAL (
    VALUES
      ('all', '', :lamports_of_day_max::bigint, true),
      ('merchant', m.user_id, :lamports_of_merchant_max::bigint, :has_key::boolean),
      ('payer', m.payer::text, :lamports_of_payer_max::bigint, true),
      -- Anybody may settle without a key, and dust too: it must not use up what the merchant's own sales need.
      ('keyless', '', :lamports_of_day_max::bigint * :keyless_percent::bigint / 100, NOT :has_key::boolean),
      (
        'keyless_merchant', m.user_id, :lamports_of_merchant_max::bigint * :keyless_percent::bigint / 100,
        NOT :has_key::boolean
      )
  ) AS o (scope, subject, lamports_max, applies)
  WHERE o.applies
  ORDER BY o.scope
  ON CONFLICT (day, scope, subject) DO UPDATE
  SET lamports = b.lamports + EXCLUDED.lamports, lamports_max = EXCLUDED.lamports_max
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'x402.signed', id::text, user_id,
    jsonb_build_object('signature', signature, 'payer', payer, 'mint', mint, 'amount', amount::text)
  FROM made
)
SELECT
  id, user_id, protocol_version, network, payer, pay_to, mint, amount, signature, wire, last_valid_block_height,
  payment_identifier, payload_hash, status, reason, detail, slot, final_only, answering_since, answered_at, created_at,
  decided_at, NULL::text AS claim_status
FROM made;

-- name: find_settlements
-- Settlements, by whichever of these is given, with where the claims stand that hold their transfers.
SELECT
  s.id, s.user_id, s.protocol_version, s.network, s.payer, s.pay_to, s.mint, s.amount, s.signature, s.wire,
  s.last_valid_block_height, s.payment_identifier, s.payload_hash, s.status, s.reason, s.detail, s.slot, s.final_only,
  s.answering_since, s.answered_at, s.created_at, s.decided_at, c.status AS claim_status
FROM settlements AS s
LEFT JOIN transactions AS c ON c.id = s.claim_id
WHERE s.id IN (
  SELECT unnest(:ids::uuid[])
  UNION ALL
  SELECT id FROM settlements WHERE message_hash = :message_hash::bytea
  UNION ALL
  SELECT id FROM settlements WHERE signature = :signature::text
  UNION ALL
  SELECT id FROM settlements WHERE user_id = :user_id::text AND payment_identifier = :payment_identifier::text
);

-- name: begin_settled_answers
-- Set out to answer that payments are settled. Of several who ask, one may; another when that one has not come to an end.
UPDATE settlements SET answering_since = clock_timestamp()
WHERE id = ANY(:ids::uuid[]) AND status = 'settled' AND answered_at IS NULL
  AND (answering_since IS NULL OR answering_since < clock_timestamp() - make_interval(secs => :answering_seconds))
RETURNING id;

-- name: end_settled_answers!
-- The answers that payments are settled have gone out.
UPDATE settlements SET answered_at = clock_timestamp() WHERE id = ANY(:ids::uuid[]) AND answered_at IS NULL;

-- name: give_up_settled_answer!
-- Whoever was to hear that a payment is settled has gone: the next who asks may be answered at once.
UPDATE settlements SET answering_since = NULL WHERE id = :id AND answered_at IS NULL;

-- name: note_settlements_sent!
-- Nodes have taken these.
UPDATE settlements SET status = 'sent', sent_at = clock_timestamp() WHERE id = ANY(:ids::uuid[]) AND status::text = 'signed';

-- name: lock_settlement!
-- Wait for whoever withdraws or notes a refund of a payment or by it, so that the next statement sees what was done.
SELECT FROM settlements WHERE id = :id FOR UPDATE;

-- name: fail_settlement$
-- A payment failed on chain, brought `payTo` nothing, or can never land any more. Nothing happens while the ledger has its
-- transfer. It is locked by then, see `lock_settlement`.
WITH moved AS (
  UPDATE settlements AS s
  SET status = 'failed', reason = :reason, detail = :detail, slot = :slot,
    lamports_spent = CASE WHEN :is_spent::boolean THEN s.lamports_reserved ELSE 0 END, decided_at = clock_timestamp()
  WHERE s.id = :id AND settlement_is_open(s.status)
    AND NOT EXISTS (
      SELECT FROM transfers AS t
      -- What the ledger has for another wallet is another wallet's.
      WHERE t.signature = s.signature AND t.finality <> 'orphaned' AND t.destination_owner IS NOT DISTINCT FROM s.pay_to
        -- These settle nothing, ever.
        AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
        AND NOT transfer_pays_nothing(t.signature, t.path)
    )
  RETURNING s.id, s.user_id, s.signature, s.reason, s.detail
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'x402.failed', id::text, user_id,
    jsonb_build_object('signature', signature, 'reason', reason, 'detail', detail)
  FROM moved
)
SELECT true FROM moved;

-- name: reopen_undone$
-- Payments whose transfers a fork has undone: their bytes are sent again, until the chain says what became of them.
WITH moved AS (
  UPDATE settlements AS s
  SET status = 'sent', slot = NULL, lamports_spent = NULL, decided_at = NULL
  FROM transactions AS c
  WHERE c.id = s.claim_id AND claim_may_move(c.status) AND c.status = 'reversed' AND s.status = 'settled'
    AND s.wire IS NOT NULL
  RETURNING s.id, s.user_id, s.signature
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'x402.undone', id::text, user_id, jsonb_build_object('signature', signature) FROM moved
)
SELECT count(*)::int FROM moved;

-- name: settlements_with_transfers
-- Payments that are not settled though the ledger has their transfers, including those that nodes had reported as failed.
SELECT s.id
FROM (
  SELECT id, signature, pay_to FROM settlements WHERE settlement_is_open(status)
  UNION ALL
  SELECT id, signature, pay_to FROM settlements
  WHERE status = 'failed' AND wire IS NOT NULL AND decided_at > clock_timestamp() - interval '1 day'
) AS s
WHERE EXISTS (
  SELECT FROM transfers AS t
  WHERE t.signature = s.signature AND t.destination_owner = s.pay_to
    AND transfer_counts(t.finality, t.awaits_witness_since)
    AND moves_money(t.source, t.destination, t.source_owner, t.destination_owner)
    AND NOT transfer_pays_nothing(t.signature, t.path)
)
LIMIT :limit;

-- name: open_settlements
-- A page of payments under way for some time, oldest first: they are sent again until they are decided.
SELECT id, signature, pay_to, mint, destination, wire, last_valid_block_height, signed_slot, status, created_at,
  extract(epoch FROM clock_timestamp() - created_at)::double precision AS age_seconds,
  EXISTS (SELECT FROM transfers AS t WHERE t.signature = s.signature AND t.finality <> 'orphaned') AS is_indexed,
  EXISTS (
    SELECT FROM transfers AS t
    WHERE t.signature = s.signature AND transfer_counts(t.finality, t.awaits_witness_since)
  ) AS is_received,
  EXISTS (
    SELECT FROM transfers AS t
    WHERE t.signature = s.signature AND t.finality <> 'orphaned' AND transfer_pays_nothing(t.signature, t.path)
  ) AS is_given_back
FROM settlements AS s
WHERE settlement_is_open(status) AND created_at < clock_timestamp() - make_interval(secs => :older_seconds)
  AND (created_at, id) > (:after_created_at::timestamptz, :after_id::uuid)
ORDER BY created_at, id
LIMIT :limit;

-- name: end_settlements_by!
-- Nothing that is under way can land beyond a block height, or was signed after a slot.
UPDATE settlements
SET last_valid_block_height = least(last_valid_block_height, :height), signed_slot = least(signed_slot, :slot)
WHERE id = ANY(:ids::uuid[]) AND settlement_is_open(status) AND (last_valid_block_height > :height OR signed_slot > :slot);

-- name: vanished_wires
-- Settled payments that the cluster does not know any more: while their blockhash lives, the same bytes can land again.
SELECT s.wire
FROM vanished_transactions AS v
JOIN settlements AS s ON s.signature = v.signature
WHERE s.status = 'settled' AND s.wire IS NOT NULL
LIMIT :limit;

-- name: settlement_counts
-- Settlements by status, and how old the oldest of each is.
SELECT status::text AS status, count(*)::int AS settlements,
  coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::double precision AS oldest_seconds
FROM settlements
GROUP BY status;

-- name: budget_of_day^
-- What the fees of today's settlements have reserved of the budget for all, or of that for all callers without a key:
-- whichever is nearer its end.
SELECT lamports, lamports_max FROM settlement_budgets
WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date AND scope IN ('all', 'keyless') AND subject = ''
ORDER BY lamports::numeric / nullif(lamports_max, 0) DESC NULLS FIRST, scope
LIMIT 1;

-- name: prune_wires$
-- Bytes that nobody will send again, some time after the verdict. The rows stay: they are the books.
WITH emptied AS (
  UPDATE settlements SET wire = NULL
  WHERE id IN (
    SELECT s.id FROM settlements AS s
    LEFT JOIN transactions AS c ON c.id = s.claim_id
    WHERE s.wire IS NOT NULL AND s.decided_at < clock_timestamp() - make_interval(secs => :keep_seconds)
      -- A decided one that is not settled has failed.
      AND NOT (s.status = 'settled' AND claim_may_move(c.status))
    LIMIT :limit
  )
  RETURNING 1
)
SELECT count(*)::int FROM emptied;

-- name: prune_budgets$
-- Budgets of days long ago.
WITH gone AS (
  DELETE FROM settlement_budgets
  WHERE (day, scope, subject) IN (
    SELECT day, scope, subject FROM settlement_budgets
    WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date - 2
      AND day < (clock_timestamp() - make_interval(secs => :keep_seconds))::date
    LIMIT :limit
  )
  RETURNING 1
)
SELECT count(*)::int FROM gone;
