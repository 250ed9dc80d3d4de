-- What the audit knows of an account: the last slot at which ledger and chain were seen to agree, and what is
-- wrong since then.
ALTER TABLE token_accounts
  ADD COLUMN audited_slot bigint,
  ADD COLUMN audited_balance base_units,
  ADD COLUMN audited_at timestamptz,
  ADD COLUMN drift numeric(21, 0) NOT NULL DEFAULT 0,
  ADD COLUMN gaps integer NOT NULL DEFAULT 0 CHECK (gaps >= 0);
COMMENT ON COLUMN token_accounts.audited_slot IS 'At this finalized slot the ledger''s balance was the chain''s';
COMMENT ON COLUMN token_accounts.drift IS 'Balance on chain less the ledger''s, when they last disagreed; 0 when they agree';
COMMENT ON COLUMN token_accounts.gaps IS 'Places where a balance change does not start where the one before ended';
CREATE INDEX token_accounts_in_doubt ON token_accounts (address) WHERE drift <> 0 OR gaps > 0;

CREATE TABLE vanished_transactions (
  signature signature PRIMARY KEY,
  slot bigint NOT NULL,
  missing_at_height bigint NOT NULL,
  noticed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE vanished_transactions IS 'Recorded transactions that the cluster does not know any more, until they are dead or land again';
COMMENT ON COLUMN vanished_transactions.missing_at_height IS 'The block height at which they were first missed: 150 blocks later their blockhash is dead';
