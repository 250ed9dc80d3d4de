-- name: followed_wallets
-- Every wallet to follow, with the first slot that counts. One that was removed is followed until what is on its way to
-- it over x402 is decided: its payer was answered that it was sent.
SELECT address, followed_from_slot FROM recipients
WHERE active OR address IN (SELECT pay_to FROM settlements WHERE settlement_is_open(status))
ORDER BY created_at, address;

-- name: followed_accounts
-- Every known account of the wallets to follow.
SELECT a.address, a.recipient, a.mint, a.program
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
WHERE (r.active OR r.address IN (SELECT pay_to FROM settlements WHERE settlement_is_open(status))) AND a.lost_slot IS NULL
ORDER BY a.created_at, a.address;

-- name: add_accounts!
-- Remember accounts of a wallet, found on chain.
INSERT INTO token_accounts (address, recipient, mint, program)
SELECT address, recipient, mint, program
FROM unnest(:address::text[], :recipient::text[], :mint::text[], :program::text[])
  AS n (address, recipient, mint, program)
-- An account that was somebody else's and is the wallet's again is followed again, and its proof begins anew.
ON CONFLICT (address) DO UPDATE
SET lost_slot = NULL, recipient = EXCLUDED.recipient, returned_slot = token_accounts.lost_slot, audited_slot = NULL,
  audited_balance = NULL
WHERE token_accounts.lost_slot IS NOT NULL;

-- name: cursor^
-- From which slot on an account's history has to be walked, and the oldest final transaction from there on: a
-- history that ends before it is not whole.
SELECT
  c.lower_slot,
  (
    SELECT b.signature FROM balance_changes AS b
    WHERE b.account = c.address AND b.slot >= c.lower_slot AND b.finality = 'finalized'
    ORDER BY b.slot
    LIMIT 1
  ) AS must_see
FROM (
  SELECT a.address, greatest(a.cursor_slot, r.followed_from_slot) AS lower_slot
  FROM token_accounts AS a
  JOIN recipients AS r ON r.address = a.recipient
  WHERE a.address = :account
) AS c;

-- name: recorded
-- Which of these landings of transactions the ledger already holds for an account.
SELECT b.signature
FROM unnest(:signatures::text[], :slots::bigint[]) AS s (signature, slot)
JOIN balance_changes AS b USING (signature, slot)
WHERE b.account = :account
  AND (b.finality = 'finalized' OR (b.finality = 'confirmed' AND NOT :final_only::boolean));

-- name: healed!
-- Everything that touched the account from a slot on is recorded; the cursor moves up to the newest final
-- transaction. Not so when somebody has asked for earlier history meanwhile: that walk is still to come.
UPDATE token_accounts AS a
SET
  cursor_signature = CASE WHEN :slot >= a.cursor_slot THEN coalesce(:signature, a.cursor_signature) ELSE a.cursor_signature END,
  cursor_slot = greatest(a.cursor_slot, :slot),
  healed_at = clock_timestamp(),
  heal_wanted_at = NULL,
  -- What an audit found stays visible until an audit finds it mended.
  heal_reason = CASE WHEN a.drift <> 0 OR a.gaps > 0 THEN a.heal_reason END
FROM recipients AS r
WHERE a.address = :account
  AND r.address = a.recipient
  AND greatest(a.cursor_slot, r.followed_from_slot) >= :lower_slot;

-- name: heal_wanted!
-- The account's history could not be completed; say why, until it is.
UPDATE token_accounts
SET heal_reason = :reason, heal_wanted_at = coalesce(heal_wanted_at, clock_timestamp())
WHERE address = :account;

-- name: is_recorded$
-- Whether a landing of a transaction is in the ledger, for any account.
SELECT EXISTS (
  SELECT FROM balance_changes WHERE signature = :signature AND slot = :slot AND finality <> 'orphaned'
);
