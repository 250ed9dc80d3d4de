-- The ledger is about one cluster, named by the hash of its first block at the first use.
CREATE TABLE cluster (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  genesis_hash text NOT NULL,
  network text NOT NULL,
  named_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cluster IS 'The cluster that this ledger is about: one row from the first use on';
COMMENT ON COLUMN cluster.genesis_hash IS 'The hash of its first block, by which every node is checked';
COMMENT ON COLUMN cluster.network IS 'SOLANA_NETWORK at the first use, for people';
