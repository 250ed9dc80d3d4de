-- name: completeness
-- For each account: where the chain of its balance changes breaks, and the balance with which it ends.
--
-- Within one slot the order of transactions is not known; what must exist is an order that links them. Taken
-- as a graph (balances are its points, each change leads from `pre` to `post`) that is a trail over every
-- change which starts at the balance before the slot: it exists when every point is left as often as it is
-- reached, but for the start and the end, and all of it can be reached from the start.
--
-- Only what came after the last good audit is looked at; `whole` looks at everything, but for what is older than an
-- account's return from somebody else.
WITH RECURSIVE followed AS (
  SELECT
    address AS account,
    CASE WHEN :whole::boolean THEN returned_slot ELSE coalesce(audited_slot, returned_slot) END AS anchor_slot,
    CASE WHEN :whole::boolean THEN NULL ELSE audited_balance END AS anchor_balance
  FROM token_accounts
  WHERE address = ANY(:accounts::text[])
),
changes AS (
  SELECT b.account, b.slot, b.signature, b.pre::numeric AS pre, b.post::numeric AS post
  FROM followed AS f
  JOIN balance_changes AS b ON b.account = f.account
  WHERE b.slot > coalesce(f.anchor_slot, -1) AND b.slot <= :slot::bigint AND b.finality <> 'orphaned'
),
points AS (
  SELECT account, slot, value, sum(leaves)::int AS leaves, sum(reaches)::int AS reaches
  FROM (
    SELECT account, slot, pre AS value, 1 AS leaves, 0 AS reaches FROM changes
    UNION ALL
    SELECT account, slot, post, 0, 1 FROM changes
  ) AS ends
  GROUP BY account, slot, value
),
slots AS (
  SELECT
    account,
    slot,
    sum(leaves) AS changes,
    min(value) AS lowest,
    CASE WHEN count(*) = 1 THEN min(value) ELSE min(value) FILTER (WHERE leaves = reaches + 1) END AS starts,
    CASE WHEN count(*) = 1 THEN min(value) ELSE min(value) FILTER (WHERE reaches = leaves + 1) END AS ends,
    bool_or(abs(leaves - reaches) > 1) OR count(*) FILTER (WHERE leaves > reaches) > 1 AS tangled
  FROM points
  GROUP BY account, slot
),
linked AS (
  SELECT
    s.*,
    row_number() OVER (PARTITION BY s.account ORDER BY s.slot) AS rank,
    lag(s.slot) OVER (PARTITION BY s.account ORDER BY s.slot) AS slot_before,
    coalesce(
      -- The end of the last slot before this one that has one; an array compares by its slot first.
      (max(ARRAY[s.slot::numeric, s.ends]) FILTER (WHERE s.ends IS NOT NULL) OVER (
        PARTITION BY s.account ORDER BY s.slot ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ))[2],
      f.anchor_balance
    ) AS before
  FROM slots AS s
  JOIN followed AS f ON f.account = s.account
),
-- Changes that all go up, or all go down, hang together when every point is left as often as it is reached:
-- what hangs apart would have to go round in a circle. Only the other slots have to be walked.
knots AS (
  SELECT account, slot, pre, post
  FROM (
    SELECT
      *,
      count(*) OVER together AS changes,
      bool_and(post > pre) OVER together OR bool_and(post < pre) OVER together AS one_way
    FROM changes
    WINDOW together AS (PARTITION BY account, slot)
  ) AS c
  WHERE changes > 1 AND NOT one_way
),
reached AS (
  SELECT l.account, l.slot, coalesce(l.starts, l.before, l.lowest) AS value
  FROM linked AS l
  WHERE (l.account, l.slot) IN (SELECT account, slot FROM knots)
  UNION
  SELECT r.account, r.slot, k.post
  FROM reached AS r
  JOIN knots AS k ON k.account = r.account AND k.slot = r.slot AND k.pre = r.value
),
broken AS (
  SELECT account, slot
  FROM linked
  WHERE tangled OR (starts IS NOT NULL AND starts <> before)
  UNION
  SELECT k.account, k.slot
  FROM knots AS k
  WHERE NOT EXISTS (
    SELECT FROM reached AS r WHERE r.account = k.account AND r.slot = k.slot AND r.value = k.pre
  )
  UNION
  -- Without an anchor the first slots may go round in circles and show no balance: they must have one in common.
  SELECT account, slot
  FROM (
    SELECT
      l.account, l.slot, l.rank, l.starts, p.value,
      count(*) OVER (PARTITION BY l.account, p.value ORDER BY l.slot) AS slots_that_have_it
    FROM linked AS l
    JOIN points AS p ON p.account = l.account AND p.slot = l.slot
    WHERE l.before IS NULL
  ) AS first_slots
  GROUP BY account, slot
  HAVING NOT bool_or(slots_that_have_it = rank AND (starts IS NULL OR value = starts))
)
SELECT
  f.account,
  f.anchor_slot,
  coalesce(b.gaps, 0)::int AS gaps,
  b.gap_starts,
  b.gap_ends,
  coalesce(c.changes, 0)::int AS changes,
  coalesce(e.ends, f.anchor_balance) AS ends
FROM followed AS f
LEFT JOIN (SELECT account, count(*) AS changes FROM changes GROUP BY account) AS c USING (account)
LEFT JOIN (
  -- Each gap lies between the slot before, which may be the anchor's, and the slot that does not follow from it.
  SELECT
    account,
    count(*) AS gaps,
    array_agg(gap_start ORDER BY slot) FILTER (WHERE number <= 20) AS gap_starts,
    array_agg(slot ORDER BY slot) FILTER (WHERE number <= 20) AS gap_ends
  FROM (
    SELECT
      account,
      slot,
      coalesce(l.slot_before, f.anchor_slot) AS gap_start,
      row_number() OVER (PARTITION BY account ORDER BY slot) AS number
    FROM broken
    JOIN linked AS l USING (account, slot)
    JOIN followed AS f USING (account)
  ) AS located
  GROUP BY account
) AS b USING (account)
LEFT JOIN (
  SELECT DISTINCT ON (account) account, ends FROM slots WHERE ends IS NOT NULL ORDER BY account, slot DESC
) AS e USING (account);

-- name: agreed!
-- Ledger and chain agree about these accounts at a finalized slot. Where the slot itself changed an account, more
-- of it may be on its way from a node that calls its newest slot final: then the anchor stays where it is. An event
-- says so of those that had never been audited or about which they disagreed.
--
-- An anchor at a slot that the chain has not reached was never true: whoever was proven up to there is proven up to here.
WITH held AS (
  SELECT a.address, n.balance, a.audited_slot >= :impossible_slot::bigint AS is_impossible, NOT EXISTS (
    SELECT FROM balance_changes AS b WHERE b.account = n.account AND b.slot = :slot AND b.finality <> 'orphaned'
  ) AS is_quiet
  FROM unnest(:accounts::text[], :balances::numeric[]) AS n (account, balance)
  JOIN token_accounts AS a ON a.address = n.account
  WHERE coalesce(a.audited_slot, -1) < :slot OR a.audited_slot >= :impossible_slot
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'audit.agreed', a.address, jsonb_build_object('slot', :slot::bigint)
  FROM token_accounts AS a
  JOIN held AS h USING (address)
  WHERE a.audited_at IS NULL OR a.drift <> 0 OR a.gaps > 0
),
corrected AS (
  INSERT INTO events (type, subject, data)
  SELECT 'audit.corrected', a.address, jsonb_build_object('slot', :slot::bigint, 'impossibleSlot', a.audited_slot)
  FROM token_accounts AS a
  JOIN held AS h USING (address)
  WHERE h.is_impossible
)
UPDATE token_accounts AS a
SET
  audited_slot = CASE WHEN h.is_quiet THEN :slot::bigint - 1 WHEN h.is_impossible THEN NULL ELSE a.audited_slot END,
  audited_balance = CASE WHEN h.is_quiet THEN h.balance WHEN h.is_impossible THEN NULL ELSE a.audited_balance END,
  audited_at = clock_timestamp(),
  drift = 0,
  gaps = 0,
  heal_reason = CASE WHEN a.heal_wanted_at IS NOT NULL THEN a.heal_reason END
FROM held AS h
WHERE a.address = h.address AND (coalesce(a.audited_slot, -1) < :slot OR a.audited_slot >= :impossible_slot);

-- name: disagreed!
-- Ledger and chain disagree about these accounts: heal them from their last good audit on, and log it. Where that is said
-- to have been at a slot that the chain has not reached, it was none.
WITH found AS (
  SELECT *
  FROM unnest(:accounts::text[], :drifts::numeric[], :gap_counts::int[]) AS d (account, drift, gap_count)
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'audit.disagreed', f.account,
    jsonb_build_object('slot', :slot::bigint, 'drift', f.drift::text, 'gaps', f.gap_count)
  FROM found AS f
  JOIN token_accounts AS a ON a.address = f.account
  WHERE (a.drift, a.gaps) IS DISTINCT FROM (f.drift, f.gap_count)
),
good AS (
  SELECT address, CASE WHEN audited_slot < coalesce(:impossible_slot::bigint, audited_slot + 1) THEN audited_slot END AS slot
  FROM token_accounts
  WHERE address = ANY(:accounts)
)
UPDATE token_accounts AS a
SET
  audited_at = clock_timestamp(),
  drift = f.drift,
  gaps = f.gap_count,
  audited_slot = g.slot,
  audited_balance = CASE WHEN g.slot IS NOT NULL THEN a.audited_balance END,
  cursor_slot = least(a.cursor_slot, coalesce(g.slot, 0)),
  cursor_signature = NULL,
  heal_wanted_at = coalesce(a.heal_wanted_at, clock_timestamp()),
  heal_reason = 'the audit found drift ' || f.drift || ' and ' || f.gap_count || ' gaps'
FROM found AS f
JOIN good AS g ON g.address = f.account
WHERE a.address = f.account;

-- name: correct_slots
-- What is noted at slots that the chain has not reached was never true: histories are walked anew, what was lost was lost by
-- now, and what came back is proven from here on. An event says so.
WITH corrected AS (
  UPDATE token_accounts AS a
  SET
    -- What is proven need not be walked again, and a node may have it no more.
    cursor_slot = CASE
      WHEN a.cursor_slot < :impossible_slot THEN a.cursor_slot
      WHEN a.audited_slot < :impossible_slot THEN a.audited_slot
      ELSE 0
    END,
    cursor_signature = CASE WHEN a.cursor_slot >= :impossible_slot THEN NULL ELSE a.cursor_signature END,
    lost_slot = CASE WHEN a.lost_slot >= :impossible_slot THEN :reached_slot::bigint ELSE a.lost_slot END,
    returned_slot = CASE WHEN a.returned_slot >= :impossible_slot THEN :reached_slot::bigint ELSE a.returned_slot END,
    opened_slot = CASE WHEN a.opened_slot >= :impossible_slot THEN NULL ELSE a.opened_slot END,
    closed_slot = CASE WHEN a.closed_slot >= :impossible_slot THEN NULL ELSE a.closed_slot END,
    heal_wanted_at = CASE WHEN a.lost_slot IS NULL THEN coalesce(a.heal_wanted_at, clock_timestamp()) END,
    heal_reason = CASE WHEN a.lost_slot IS NULL THEN 'a node had said a slot that the chain has not reached' END
  WHERE greatest(a.cursor_slot, a.lost_slot, a.returned_slot, a.opened_slot, a.closed_slot) >= :impossible_slot::bigint
  RETURNING a.address
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT 'account.slots_corrected', address, jsonb_build_object('reachedSlot', :reached_slot::bigint) FROM corrected
)
SELECT address FROM corrected;

-- name: correct_followed_slots
-- Wallets that are followed from a slot on that the chain has not reached, as a node once said: from the slot on that it had
-- reached at the earliest when they were registered; 0 where nothing says how long a slot takes at least. An event says so.
WITH corrected AS (
  UPDATE recipients AS r
  SET followed_from_slot = CASE WHEN :slot_seconds::double precision > 0 THEN greatest(
    :reached_slot::bigint - ceil(extract(epoch FROM clock_timestamp() - r.created_at) / :slot_seconds)::bigint, 0
  ) ELSE 0 END
  WHERE r.followed_from_slot >= :impossible_slot::bigint
  RETURNING r.address, r.user_id, r.followed_from_slot
),
walked AS (
  UPDATE token_accounts AS a
  SET heal_wanted_at = coalesce(a.heal_wanted_at, clock_timestamp()), heal_reason = 'its earlier history was not followed'
  FROM corrected AS c
  WHERE a.recipient = c.address AND a.lost_slot IS NULL
),
logged AS (
  INSERT INTO events (type, subject, user_id, data)
  SELECT 'recipient.slot_corrected', address, user_id, jsonb_build_object('followedFromSlot', followed_from_slot)
  FROM corrected
)
SELECT address, pg_notify('recipients', address) FROM corrected;

-- name: lost!
-- These accounts belong to somebody else at a finalized slot: what is on them says nothing about their wallets.
UPDATE token_accounts
SET lost_slot = :slot, drift = 0, gaps = 0, heal_wanted_at = NULL, heal_reason = NULL
WHERE address = ANY(:accounts::text[]) AND lost_slot IS NULL;

-- name: accounts_to_audit
-- The accounts of followed wallets, the longest unaudited first.
SELECT a.address, a.recipient, a.mint, a.drift, a.gaps, a.audited_slot, r.followed_from_slot
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
WHERE r.active AND a.lost_slot IS NULL AND (cardinality(:wallets::text[]) = 0 OR a.recipient = ANY(:wallets::text[]))
ORDER BY a.audited_at NULLS FIRST, a.address;

-- name: in_doubt^
-- How many accounts failed their last audit, and by how much.
SELECT count(*) FILTER (WHERE drift <> 0) AS drifting, coalesce(sum(gaps), 0)::int AS gaps
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
WHERE r.active AND (a.drift <> 0 OR a.gaps > 0);

-- name: proof_of_accounts^
-- How many accounts of a user's followed wallets, or of everybody's, were found complete, and up to which slot all were.
SELECT
  count(*)::int AS accounts,
  count(a.audited_slot)::int AS proven,
  count(*) FILTER (WHERE a.drift <> 0)::int AS drifting,
  coalesce(sum(a.gaps), 0)::int AS gaps,
  count(a.heal_wanted_at)::int AS healing,
  min(a.audited_slot) AS proven_slot
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
WHERE r.active AND a.lost_slot IS NULL AND (:user_id::text IS NULL OR r.user_id = :user_id);

-- name: accounts_to_heal
-- Accounts that somebody marked for healing, or that were not walked since a time.
SELECT a.address, a.heal_wanted_at IS NOT NULL AS marked
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
WHERE r.active AND a.lost_slot IS NULL AND (a.heal_wanted_at IS NOT NULL OR a.healed_at < :not_since)
ORDER BY a.heal_wanted_at, a.healed_at
LIMIT 1000;
