COMMENT ON COLUMN vanished_transactions.missing_at_height IS
  'The block height at which they were first missed: 150 blocks later their blockhash is dead';
COMMENT ON COLUMN recipients.followed_from_slot IS
  'The ledger holds every transaction from this slot on; 0 means from genesis';
ALTER TABLE vanished_transactions DROP CONSTRAINT vanished_transactions_missing_at_height_check;
