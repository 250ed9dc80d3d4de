-- name: signs_of_life
-- The liveliest process of each role: how long ago it was heard of, and how far its ledger is behind.
SELECT DISTINCT ON (role)
  role,
  extract(epoch FROM clock_timestamp() - at)::float8 AS age_seconds,
  greatest(seen_slot - recorded_slot, 0) AS lag_slots,
  accounts_waiting
FROM heartbeats
ORDER BY role, at DESC;

-- name: beat!
-- A process is alive. Slots only where it follows the chain.
INSERT INTO heartbeats (role, instance, seen_slot, recorded_slot, accounts_waiting)
VALUES (:role, :instance, :seen_slot, :recorded_slot, :accounts_waiting)
ON CONFLICT (role, instance) DO UPDATE
SET at = clock_timestamp(), seen_slot = EXCLUDED.seen_slot, recorded_slot = EXCLUDED.recorded_slot,
  accounts_waiting = EXCLUDED.accounts_waiting;

-- name: stop_beating!
-- A process ends well.
DELETE FROM heartbeats WHERE role = :role AND instance = :instance;
