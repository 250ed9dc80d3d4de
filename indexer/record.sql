-- name: record_batch^
-- Write transfers, balance changes, new accounts and events of many transactions at once. Repeating it
-- changes nothing. A transaction that landed again in another slot, or that a node now reports with other content,
-- replaces what was recorded of it, unless that is finalized already: claims are judged by what stands here.
WITH landed AS (
  SELECT * FROM json_to_recordset(:landed) AS l (signature text, slot bigint)
),
moved AS (
  SELECT *
  FROM json_to_recordset(:moved) AS m (
    signature text, slot bigint, block_time_seconds float8, notified_at float8, memos text[],
    path text, kind text, program text, mint text, source text, destination text, source_owner text,
    destination_owner text, authority text, amount numeric, fee numeric, "references" text[]
  )
),
changed AS (
  SELECT *
  FROM json_to_recordset(:changed) AS c (
    signature text, slot bigint, block_time_seconds float8, unexplained numeric,
    account text, owner text, mint text, program text, decimals smallint, pre numeric, post numeric,
    existed boolean, "exists" boolean
  )
),
new_tokens AS (
  INSERT INTO tokens (mint, program, decimals)
  SELECT DISTINCT ON (mint) mint, program, decimals FROM changed WHERE program IS NOT NULL ORDER BY mint
  ON CONFLICT (mint) DO NOTHING
),
new_accounts AS (
  INSERT INTO token_accounts (address, recipient, mint, program, opened_slot)
  SELECT DISTINCT ON (address) address, wallet, mint, program, slot
  FROM json_to_recordset(:opened) AS o (address text, wallet text, mint text, program text, slot bigint)
  ORDER BY address
  ON CONFLICT (address) DO NOTHING
),
lifetimes AS (
  -- The latest of each, whatever order batches are written in; by address, so that two wait rather than deadlock.
  UPDATE token_accounts AS a
  SET
    opened_slot = greatest(a.opened_slot, l.opened_slot),
    closed_slot = greatest(a.closed_slot, l.closed_slot),
    -- One that was somebody else's meanwhile is followed again, and its proof begins anew.
    lost_slot = CASE WHEN l.opened_slot > a.lost_slot THEN NULL ELSE a.lost_slot END,
    returned_slot = CASE WHEN l.opened_slot > a.lost_slot THEN a.lost_slot ELSE a.returned_slot END,
    audited_slot = CASE WHEN l.opened_slot > a.lost_slot THEN NULL ELSE a.audited_slot END,
    audited_balance = CASE WHEN l.opened_slot > a.lost_slot THEN NULL ELSE a.audited_balance END
  FROM (
    SELECT
      account,
      max(slot) FILTER (WHERE NOT existed AND "exists") AS opened_slot,
      max(slot) FILTER (WHERE existed AND NOT "exists") AS closed_slot
    FROM changed
    WHERE existed <> "exists"
    GROUP BY account
    ORDER BY account
  ) AS l
  WHERE a.address = l.account
    AND (l.opened_slot > coalesce(a.opened_slot, -1) OR l.closed_slot > coalesce(a.closed_slot, -1))
),
gone AS (
  UPDATE transfers AS t
  SET finality = 'orphaned'
  FROM landed AS l
  WHERE t.signature = l.signature
    -- In the same slot, only where somebody is followed for whom it would be among what moved.
    AND (t.slot <> l.slot OR EXISTS (
      SELECT FROM recipients AS r WHERE r.address IN (t.source_owner, t.destination_owner) AND r.active
    ))
    AND landing_may_move(t.finality)
    AND NOT EXISTS (SELECT FROM moved AS m WHERE m.signature = t.signature AND m.path = t.path)
  RETURNING t.signature, t.path, t.slot, t.mint, t.destination_owner, t.amount
),
unbalanced AS (
  UPDATE balance_changes AS b
  SET finality = 'orphaned'
  FROM landed AS l
  WHERE b.signature = l.signature
    AND b.slot <> l.slot
    AND landing_may_move(b.finality)
    AND NOT EXISTS (SELECT FROM changed AS c WHERE c.signature = b.signature AND c.account = b.account)
),
written AS (
  INSERT INTO transfers AS t (
    signature, path, slot, block_time, notified_at, kind, program, mint, source, destination, source_owner,
    destination_owner, authority, amount, fee, reference_keys, memos, awaits_witness_since
  )
  SELECT
    signature, path, slot, to_timestamp(block_time_seconds),
    -- As an age, so that the database's clock alone says what was early and what was late.
    clock_timestamp() - make_interval(secs => :now - notified_at),
    kind, program, mint, source, destination, source_owner, destination_owner, authority, amount, fee, "references",
    memos, CASE WHEN :needs_witness::boolean THEN clock_timestamp() END
  FROM moved
  ON CONFLICT (signature, path) DO UPDATE SET
    slot = EXCLUDED.slot,
    block_time = EXCLUDED.block_time,
    kind = EXCLUDED.kind,
    program = EXCLUDED.program,
    mint = EXCLUDED.mint,
    source = EXCLUDED.source,
    destination = EXCLUDED.destination,
    source_owner = EXCLUDED.source_owner,
    destination_owner = EXCLUDED.destination_owner,
    authority = EXCLUDED.authority,
    amount = EXCLUDED.amount,
    fee = EXCLUDED.fee,
    reference_keys = EXCLUDED.reference_keys,
    memos = EXCLUDED.memos,
    awaits_witness_since = EXCLUDED.awaits_witness_since,
    contested_at = NULL,
    finality = 'confirmed'
  WHERE t.finality = 'orphaned'
    OR (
      t.finality = 'confirmed'
      AND (
        t.slot, t.kind, t.mint, t.source, t.destination, t.source_owner, t.destination_owner, t.authority, t.amount,
        t.fee, t.reference_keys, t.memos
      ) IS DISTINCT FROM (
        EXCLUDED.slot, EXCLUDED.kind, EXCLUDED.mint, EXCLUDED.source, EXCLUDED.destination, EXCLUDED.source_owner,
        EXCLUDED.destination_owner, EXCLUDED.authority, EXCLUDED.amount, EXCLUDED.fee, EXCLUDED.reference_keys,
        EXCLUDED.memos
      )
    )
  RETURNING t.signature, t.path, t.slot, t.mint, t.source_owner, t.destination_owner, t.amount, t.fee,
    (t.xmax = 0) AS is_new
),
balanced AS (
  INSERT INTO balance_changes AS b (
    signature, account, slot, block_time, owner, mint, pre, post, unexplained
  )
  SELECT signature, account, slot, to_timestamp(block_time_seconds), owner, mint, pre, post, unexplained FROM changed
  ON CONFLICT (signature, account) DO UPDATE SET
    slot = EXCLUDED.slot,
    block_time = EXCLUDED.block_time,
    owner = EXCLUDED.owner,
    mint = EXCLUDED.mint,
    pre = EXCLUDED.pre,
    post = EXCLUDED.post,
    unexplained = EXCLUDED.unexplained,
    finality = 'confirmed'
  WHERE b.finality = 'orphaned'
    OR (
      b.finality = 'confirmed'
      AND (b.slot, b.owner, b.mint, b.pre, b.post, b.unexplained) IS DISTINCT FROM (
        EXCLUDED.slot, EXCLUDED.owner, EXCLUDED.mint, EXCLUDED.pre, EXCLUDED.post, EXCLUDED.unexplained
      )
    )
  RETURNING 1
),
logged AS (
  INSERT INTO events (type, subject, data)
  SELECT
    CASE WHEN is_new THEN 'transfer.confirmed' ELSE 'transfer.landed_again' END,
    signature,
    jsonb_build_object(
      'path', path, 'slot', slot, 'mint', mint, 'sourceOwner', source_owner,
      'destinationOwner', destination_owner, 'amount', amount::text, 'fee', fee::text,
      'needsWitness', :needs_witness::boolean
    )
  FROM written
  UNION ALL
  -- Whoever heard of the payment hears that it is undone, in the words of `ledger/finality.sql`.
  SELECT
    'transfer.orphaned',
    signature,
    jsonb_build_object(
      'path', path, 'slot', slot, 'mint', mint, 'destinationOwner', destination_owner, 'amount', amount::text
    )
  FROM gone
)
SELECT
  (SELECT count(*) FROM written WHERE is_new) AS new_transfers,
  (SELECT count(*) FROM written WHERE NOT is_new) AS landed_again,
  (SELECT count(*) FROM balanced) AS balance_changes,
  -- Whoever waits for one of these payments is woken when it is committed.
  (SELECT count(pg_notify('transfers', signature)) FROM (SELECT DISTINCT signature FROM written) AS n) AS woken;
