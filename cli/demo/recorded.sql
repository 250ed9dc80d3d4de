-- name: received
-- Every transfer that the ledger credits to some wallets, for holding it against the chain.
SELECT signature, path, slot, kind, mint, source, destination, destination_owner,
  amount, fee, amount - fee AS credited, memos
FROM transfers
WHERE destination_owner = ANY(:wallets::text[])
  AND kind_is_payment(kind)
  AND finality <> 'orphaned'
ORDER BY slot, recorded_at, signature, path;

-- name: last_balances
-- The last balance that the ledger holds of every token account of some wallets, in base units. Within one
-- slot the last change is the one whose post is nobody's pre.
SELECT DISTINCT ON (b.account) b.account, b.post
FROM balance_changes AS b
JOIN token_accounts AS a ON a.address = b.account AND a.address <> a.recipient
WHERE a.recipient = ANY(:wallets::text[]) AND b.finality <> 'orphaned'
ORDER BY
  b.account,
  b.slot DESC,
  EXISTS (
    SELECT FROM balance_changes AS n
    WHERE n.account = b.account AND n.slot = b.slot AND n.pre = b.post AND n.signature <> b.signature
      AND n.finality <> 'orphaned'
  ),
  b.recorded_at DESC;

-- name: unexplained_count$
-- Balance changes that no instruction explains.
SELECT count(*) FROM balance_changes WHERE unexplained <> 0 AND finality <> 'orphaned';

-- name: token_symbols
-- Symbols and decimals of every mint the ledger knows.
SELECT mint, symbol, decimals FROM tokens;
