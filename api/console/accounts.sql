-- name: page_of_accounts
-- Accounts of a user's followed wallets, or of everybody's, wallet by wallet; one of them, or those in doubt, if asked for.
WITH contested AS (
  SELECT destination, count(*)::int AS transfers
  FROM transfers
  WHERE awaits_witness_since IS NOT NULL AND contested_at IS NOT NULL AND finality <> 'orphaned'
  GROUP BY destination
)
SELECT
  a.address, a.recipient AS wallet, r.user_id, r.label, a.mint, a.audited_slot, a.audited_balance, a.audited_at, a.drift,
  a.gaps, a.lost_slot, a.heal_reason, a.heal_wanted_at, a.healed_at, coalesce(c.transfers, 0) AS contested
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
LEFT JOIN contested AS c ON c.destination = a.address
WHERE r.active
  AND (:user_id::text IS NULL OR r.user_id = :user_id)
  AND (:address::text IS NULL OR a.address = :address)
  AND (NOT :in_doubt::boolean OR a.drift <> 0 OR a.gaps > 0)
  AND (:after_wallet::text IS NULL OR (a.recipient, a.address) > (:after_wallet, :after_address::text))
ORDER BY a.recipient, a.address
LIMIT :limit::int;

-- name: changes_after^
-- How many balance changes an account has after a slot, at most so many, and the newest slot that is final.
SELECT
  (
    SELECT count(*)::int
    FROM (
      SELECT FROM balance_changes
      WHERE account = :address AND slot > :after::bigint
      ORDER BY account, slot
      LIMIT :changes_max::int
    ) AS counted
  ) AS changes,
  (
    SELECT slot FROM balance_changes
    WHERE account = :address AND finality = 'finalized'
    ORDER BY account DESC, slot DESC
    LIMIT 1
  ) AS newest_final;

-- name: contested_transfers
-- The newest transactions to an account that another node contradicts.
SELECT signature, slot
FROM transfers
WHERE awaits_witness_since IS NOT NULL AND contested_at IS NOT NULL AND finality <> 'orphaned' AND destination = :address
ORDER BY slot DESC
LIMIT :limit::int;
