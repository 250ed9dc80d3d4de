-- name: make_accounts!
-- A token account of every wallet, proven; of every hundredth ledger and chain disagree.
INSERT INTO token_accounts (
  address, recipient, mint, program, audited_slot, audited_balance, audited_at, healed_at, drift, gaps
)
SELECT
  bench_text('account' || row_number() OVER (ORDER BY address), 44), address,
  '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA',
  1000, 1000000, now(), now(),
  CASE WHEN row_number() OVER (ORDER BY address) % 100 = 0 THEN 5 ELSE 0 END,
  CASE WHEN row_number() OVER (ORDER BY address) % 100 = 0 THEN 1 ELSE 0 END
FROM recipients;

-- name: make_changes!
-- Balance changes, each from where the one before ended: a third of them are the first account's.
INSERT INTO balance_changes (signature, account, slot, mint, pre, post, finality)
SELECT bench_text('change' || i || '/' || n, 88), bench_text('account' || i, 44), n,
  '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', 1000000 + n - 1, 1000000 + n, 'finalized'
FROM generate_series(1, :accounts::int) AS i
CROSS JOIN LATERAL generate_series(
  1, CASE WHEN i = 1 THEN :changes::int ELSE 2 * :changes::int / :accounts::int END
) AS n;

-- name: audit_first_account!
-- The last good audit of the first account is so many changes ago.
UPDATE token_accounts
SET audited_slot = :slot::int, audited_balance = 1000000 + :slot::int
WHERE address = bench_text('account1', 44);

-- name: make_requests!
-- Payment requests of the merchants, nine of ten expired.
INSERT INTO nonces (
  nonce, user_id, recipient, mint, currency, amount, resource, reference, created_at, expires_at, expired_at
)
SELECT
  'request-' || n, r.user_id, r.address, '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', 'USDC', 1000 + n,
  'article ' || n, bench_text('reference' || n, 44), now() - n * interval '1 minute',
  now() - n * interval '1 minute' + interval '30 days', CASE WHEN n % 10 > 0 THEN now() END
FROM generate_series(1, :requests::int) AS n
JOIN (SELECT row_number() OVER (ORDER BY address) AS i, * FROM recipients) AS r ON r.i = 1 + n % :merchants::int;

-- name: make_keys!
-- Keys of the merchants.
INSERT INTO api_keys (key_prefix, key, user_id, name, environment, permissions, last_used)
SELECT 'sk_live_' || lpad(to_hex(n), 12, '0'), md5(n::text) || md5('x' || n), 'merchant-' || n % :merchants::int,
  'program ' || n, 'live', '{read,write}', now()
FROM generate_series(1, :keys::int) AS n;

-- name: make_feed!
-- What was published to the merchants.
INSERT INTO feed (id, event_id, type, user_id, environment, at, body)
SELECT n, n, 'claim.honoured', 'merchant-' || n % :merchants::int, 'live', now(), '{}'
FROM generate_series(1, :entries::int) AS n;

-- name: make_deliveries!
-- A webhook of each merchant, with the deliveries of what was published to it; one of ten has failed.
WITH made AS (
  INSERT INTO webhooks (user_id, environment, url)
  SELECT 'merchant-' || n, 'live', 'https://receiver.example/' || n FROM generate_series(0, :merchants::int - 1) AS n
  RETURNING id, user_id
),
keyed AS (
  INSERT INTO webhook_secrets (webhook_id, secret, signing_seed, public_key) SELECT id, '', '', '' FROM made
)
INSERT INTO webhook_deliveries (webhook_id, feed_id, status, tries, answered_at, answer_status, answer_ms)
SELECT made.id, feed.id, CASE WHEN feed.id % 10 = 0 THEN 'failed' ELSE 'delivered' END, 1, now(), 200, 12
FROM feed
JOIN made USING (user_id);

-- name: one_of_each^
-- Names of one payment, one request and one webhook of a merchant.
SELECT
  (SELECT signature FROM transactions WHERE user_id = :user_id LIMIT 1) AS signature,
  (SELECT nonce FROM nonces WHERE user_id = :user_id ORDER BY created_at DESC LIMIT 1) AS nonce,
  (SELECT id::text FROM webhooks WHERE user_id = :user_id LIMIT 1) AS webhook,
  (SELECT address FROM recipients WHERE user_id = :user_id LIMIT 1) AS wallet,
  (SELECT key_prefix FROM api_keys WHERE user_id = :user_id LIMIT 1) AS key_prefix,
  bench_text('account1', 44) AS account;
