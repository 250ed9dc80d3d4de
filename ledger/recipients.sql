-- name: add_recipient<!
-- Follow a wallet from a slot on, or go on following it. Wakes the indexers. Nothing for a wallet that is another user's,
-- that was removed after it was signed for, or that is live where a test key asks; or that jobs are paid to which are open:
-- what is paid for them would be another user's, and they would be neither funded nor paid back.
WITH before AS (
  SELECT * FROM recipients WHERE address = :address
),
added AS (
  INSERT INTO recipients AS r (address, user_id, label, followed_from_slot, environment)
  VALUES (:address, :user_id, :label, :followed_from_slot, :environment)
  ON CONFLICT (address) DO UPDATE SET
    active = true,
    removed_at = NULL,
    user_id = EXCLUDED.user_id,
    -- A payment that was on its way while the wallet was being registered counts.
    owned_since = CASE WHEN r.user_id = EXCLUDED.user_id THEN r.owned_since
      ELSE greatest(r.removed_at, clock_timestamp() - interval '15 seconds') END,
    label = CASE WHEN r.user_id = EXCLUDED.user_id THEN coalesce(EXCLUDED.label, r.label) ELSE EXCLUDED.label END,
    environment = EXCLUDED.environment,
    followed_from_slot = least(r.followed_from_slot, EXCLUDED.followed_from_slot)
  WHERE (r.environment = 'test' OR EXCLUDED.environment = 'live')
    AND CASE WHEN r.active THEN r.user_id = EXCLUDED.user_id
      ELSE :by_admin::boolean OR coalesce(:signed_at::timestamptz > r.removed_at, false) END
    AND (r.user_id = EXCLUDED.user_id OR NOT EXISTS (
      SELECT FROM job_requests AS j
      WHERE j.settlement_wallet = r.address AND NOT escrow_is_settled(j.escrow_status)
        AND (j.escrow_status <> 'pending' OR job_is_open(j.status))
    ))
  RETURNING address, user_id, label, followed_from_slot, active, created_at, removed_at, environment, owned_since,
    (xmax = 0) AS is_new
),
-- Whose it was before; what was paid to it then stays theirs to see.
handed_over AS (
  INSERT INTO former_recipients (address, user_id, owned_since, owned_until)
  SELECT before.address, before.user_id, before.owned_since, added.owned_since
  FROM before JOIN added ON added.user_id <> before.user_id
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'recipient.handed_over', added.address, added.user_id, jsonb_build_object('from', before.user_id)
  FROM before JOIN added ON added.user_id <> before.user_id
),
-- Whose history is to begin earlier than it did has it walked again.
reopened AS (
  UPDATE token_accounts AS a
  SET cursor_slot = 0, cursor_signature = NULL, audited_slot = NULL, audited_balance = NULL,
    heal_wanted_at = clock_timestamp(), heal_reason = 'its earlier history was asked for'
  FROM before JOIN added ON true
  WHERE before.followed_from_slot > :followed_from_slot AND a.recipient = before.address
)
SELECT
  address, user_id, label, followed_from_slot, active, created_at, removed_at, environment, is_new,
  pg_notify('recipients', address)
FROM added;

-- name: has_open_jobs$
-- Whether jobs are paid to this wallet that may still be funded, or whose money it holds.
SELECT EXISTS (
  SELECT FROM job_requests AS j
  WHERE j.settlement_wallet = :address AND NOT escrow_is_settled(j.escrow_status)
    AND (j.escrow_status <> 'pending' OR job_is_open(j.status))
);

-- name: lock_recipient!
-- Wait for whoever registers a payment request to a wallet, and let who does so next wait: the next statement sees it.
SELECT FROM recipients WHERE address = :address FOR NO KEY UPDATE;

-- name: move_to_tests^
-- Make a live wallet one for tests, with its event, unless something live depends on it: then that is answered, and
-- nothing changes. One for tests stays one. It is locked by then, see `lock_recipient`.
WITH found AS (
  SELECT address, user_id, environment FROM recipients WHERE address = :address
),
owners AS (
  SELECT user_id FROM found UNION SELECT user_id FROM former_recipients WHERE address = :address
),
looked_at AS (
  SELECT f.address, f.user_id, f.environment, CASE
    WHEN f.environment = 'test' THEN NULL
    WHEN EXISTS (
      SELECT FROM transactions AS c
      WHERE c.user_id IN (SELECT user_id FROM owners) AND c.recipient = f.address AND c.environment = 'live'
        AND claim_holds_transfer(c.status)
    ) THEN 'payments'
    WHEN EXISTS (
      SELECT FROM transactions AS c
      WHERE c.user_id = f.user_id AND coalesce(c.recipient, f.address) = f.address AND c.environment = 'live'
        AND c.status = 'pending'
    ) THEN 'claims'
    WHEN EXISTS (
      SELECT FROM nonces AS n
      WHERE n.recipient = f.address AND n.environment = 'live'
        -- What was paid in time may be recorded so much later.
        AND n.expires_at > statement_timestamp() - make_interval(secs => :late_seconds)
    ) THEN 'requests'
    WHEN EXISTS (
      SELECT FROM settlements AS s
      WHERE s.pay_to = f.address AND s.environment = 'live' AND settlement_is_open(s.status)
    ) THEN 'settlements'
    WHEN EXISTS (
      SELECT FROM job_requests AS j
      WHERE j.settlement_wallet = f.address AND j.environment = 'live' AND NOT escrow_is_settled(j.escrow_status)
        AND (j.escrow_status <> 'pending' OR job_is_open(j.status))
    ) THEN 'jobs'
  END AS held_by
  FROM found AS f
),
moved AS (
  UPDATE recipients AS r SET environment = 'test'
  FROM looked_at AS l
  WHERE r.address = l.address AND r.environment = 'live' AND l.held_by IS NULL
  RETURNING r.address, r.user_id
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'recipient.for_tests', address, user_id, '{"from": "live", "to": "test"}'::jsonb FROM moved
)
SELECT address, user_id, held_by, EXISTS (SELECT FROM moved) AS is_moved FROM looked_at;

-- name: recipients
-- Every recipient with its number of accounts and of transfers received.
SELECT
  r.address, r.user_id, r.label, r.followed_from_slot, r.active, r.created_at, r.removed_at, r.environment,
  (SELECT count(*) FROM token_accounts AS a WHERE a.recipient = r.address AND a.address <> r.address) AS accounts,
  (SELECT count(*) FROM transfers AS t WHERE t.destination_owner = r.address AND t.finality <> 'orphaned') AS transfers,
  (SELECT max(a.heal_reason) FROM token_accounts AS a WHERE a.recipient = r.address) AS heal_reason
FROM recipients AS r
ORDER BY r.created_at, r.address;

-- name: remove_recipient<!
-- Stop following a wallet; what the ledger holds of it stays. Wakes the indexers.
WITH removed AS (
  UPDATE recipients SET active = false, removed_at = clock_timestamp()
  WHERE address = :address AND active
  RETURNING address
)
SELECT address, pg_notify('recipients', address) FROM removed;

-- name: find_recipient^
-- One wallet, whoever's it is.
SELECT address, user_id, label, followed_from_slot, active, created_at, removed_at, environment
FROM recipients
WHERE address = :address;

-- name: recipients_of
-- The wallets that are followed for a user, or for everybody, with the number of their accounts, from the one after
-- `after` on.
SELECT
  r.address, r.user_id, r.label, r.followed_from_slot, r.active, r.created_at, r.removed_at, r.environment,
  (SELECT count(*) FROM token_accounts AS a WHERE a.recipient = r.address AND a.address <> r.address)::int AS accounts
FROM recipients AS r
WHERE r.active
  AND (:user_id::text IS NULL OR r.user_id = :user_id)
  AND (
    :after::text IS NULL
    OR (r.created_at, r.address) > ((SELECT created_at FROM recipients WHERE address = :after), :after)
  )
ORDER BY r.created_at, r.address
LIMIT :limit::int;

-- name: any_followed$
-- Whether any of these wallets or token accounts is followed.
SELECT
  EXISTS (SELECT FROM recipients WHERE address = ANY(:wallets::text[]) AND active)
  OR EXISTS (
    SELECT FROM token_accounts AS a
    JOIN recipients AS r ON r.address = a.recipient
    WHERE a.address = ANY(:accounts::text[]) AND r.active
  );
