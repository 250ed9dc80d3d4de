-- name: add_recipient<!
-- Follow a wallet from a slot on; a wallet removed before is followed again. Wakes the indexers. Nothing for a
-- wallet that belongs to another user.
WITH added AS (
  INSERT INTO recipients AS r (address, user_id, label, followed_from_slot)
  VALUES (:address, :user_id, :label, :followed_from_slot)
  ON CONFLICT (address) DO UPDATE SET
    active = true,
    removed_at = NULL,
    label = coalesce(EXCLUDED.label, r.label),
    followed_from_slot = least(r.followed_from_slot, EXCLUDED.followed_from_slot)
  WHERE r.user_id = EXCLUDED.user_id
  RETURNING address, user_id, label, followed_from_slot, active, created_at, (xmax = 0) AS is_new
),
-- Whose history is to begin earlier than it did has it walked again.
reopened AS (
  UPDATE token_accounts AS a
  SET cursor_slot = 0, cursor_signature = NULL, audited_slot = NULL, audited_balance = NULL,
    heal_wanted_at = clock_timestamp(), heal_reason = 'its earlier history was asked for'
  FROM recipients AS before
  WHERE before.address = :address AND before.user_id = :user_id AND before.followed_from_slot > :followed_from_slot
    AND a.recipient = before.address
)
SELECT address, user_id, label, followed_from_slot, active, created_at, is_new, pg_notify('recipients', address) FROM added;

-- name: recipients
-- Every recipient with its number of accounts and of transfers received.
SELECT
  r.address, r.user_id, r.label, r.followed_from_slot, r.active, r.created_at,
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
SELECT address, user_id, label, followed_from_slot, active, created_at FROM recipients WHERE address = :address;

-- name: recipients_of
-- The wallets that are followed for a user, or for everybody, with the number of their accounts.
SELECT
  r.address, r.user_id, r.label, r.followed_from_slot, r.active, r.created_at,
  (SELECT count(*) FROM token_accounts AS a WHERE a.recipient = r.address AND a.address <> r.address)::int AS accounts
FROM recipients AS r
WHERE r.active AND (:user_id::text IS NULL OR r.user_id = :user_id)
ORDER BY r.created_at, r.address;

-- name: any_followed$
-- Whether any of these wallets or token accounts is followed.
SELECT
  EXISTS (SELECT FROM recipients WHERE address = ANY(:wallets::text[]) AND active)
  OR EXISTS (
    SELECT FROM token_accounts AS a
    JOIN recipients AS r ON r.address = a.recipient
    WHERE a.address = ANY(:accounts::text[]) AND r.active
  );
