-- name: accounts_in_doubt
-- Accounts whose ledger is not the chain's, as their last audit found them.
SELECT r.user_id, a.address, a.recipient, a.mint, a.drift, a.gaps, a.heal_reason, a.audited_slot
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
WHERE r.active AND (a.drift <> 0 OR a.gaps > 0)
ORDER BY a.address;

-- name: audited^
-- How far the proof of completeness goes.
SELECT count(*)::int AS accounts, count(a.audited_slot)::int AS audited, min(a.audited_slot) AS least_audited_slot,
  count(*) FILTER (WHERE a.drift <> 0)::int AS drifting, coalesce(sum(a.gaps), 0)::int AS gaps
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
WHERE r.active;

-- name: report_moment$
-- The time by the database's clock.
SELECT clock_timestamp();
