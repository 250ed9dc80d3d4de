-- With it the indexer may correct what a node once said wrongly: see migrations/roles.sql.
COMMENT ON COLUMN vanished_transactions.missing_at_height IS
  'The lowest block height that was seen to be the newest while they were missing: 150 blocks later their blockhash is dead';
COMMENT ON COLUMN recipients.followed_from_slot IS
  'The ledger holds every transaction from this slot on; 0 means from genesis. One that the chain has not reached is corrected';
-- A height that is corrected downwards is still one.
ALTER TABLE vanished_transactions
  ADD CONSTRAINT vanished_transactions_missing_at_height_check CHECK (missing_at_height >= 0);
