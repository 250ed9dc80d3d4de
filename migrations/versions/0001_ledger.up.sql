-- Addresses and signatures are base58: compared byte by byte, never by the rules of a language. A bounded
-- repetition in one expression would cost more than writing the row.
CREATE DOMAIN address AS text COLLATE "C"
  CHECK (length(VALUE) BETWEEN 32 AND 44 AND VALUE !~ '[^1-9A-HJ-NP-Za-km-z]');
CREATE DOMAIN signature AS text COLLATE "C"
  CHECK (length(VALUE) BETWEEN 64 AND 88 AND VALUE !~ '[^1-9A-HJ-NP-Za-km-z]');
-- An amount in base units of its token: a u64, which is larger than bigint.
CREATE DOMAIN base_units AS numeric(20, 0)
  CHECK (VALUE >= 0 AND VALUE <= 18446744073709551615);
CREATE TYPE finality AS ENUM ('confirmed', 'finalized', 'orphaned');

CREATE TABLE tokens (
  mint address PRIMARY KEY,
  program address NOT NULL,
  decimals smallint NOT NULL CHECK (decimals BETWEEN 0 AND 255),
  symbol text,
  network text,
  UNIQUE (network, symbol, mint)
);
COMMENT ON TABLE tokens IS 'A mint: its token program, decimals and, where requests may name it, its symbol';

CREATE TABLE recipients (
  address address PRIMARY KEY,
  user_id text NOT NULL,
  label text,
  followed_from_slot bigint NOT NULL CHECK (followed_from_slot >= 0),
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  removed_at timestamptz
);
COMMENT ON TABLE recipients IS 'A wallet that is paid, and the user it belongs to';
COMMENT ON COLUMN recipients.followed_from_slot IS 'The ledger holds every transaction from this slot on; 0 means from genesis';

CREATE TABLE token_accounts (
  address address PRIMARY KEY,
  recipient address NOT NULL REFERENCES recipients (address),
  mint address NOT NULL,
  program address NOT NULL,
  opened_slot bigint,
  closed_slot bigint,
  cursor_slot bigint NOT NULL DEFAULT 0,
  cursor_signature signature,
  heal_reason text,
  heal_wanted_at timestamptz,
  healed_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE token_accounts IS 'An account of a recipient that is followed; the wallet itself is one, for native SOL';
COMMENT ON COLUMN token_accounts.cursor_slot IS 'Everything that touched the account in slots before this one is recorded';
CREATE INDEX token_accounts_recipient ON token_accounts (recipient);
CREATE INDEX token_accounts_heal_wanted ON token_accounts (heal_wanted_at) WHERE heal_wanted_at IS NOT NULL;

CREATE TABLE transfers (
  signature signature NOT NULL,
  path text COLLATE "C" NOT NULL CHECK (path ~ '^[0-9]+(\.[0-9]+)*$'),
  slot bigint NOT NULL,
  block_time timestamptz,
  kind text NOT NULL,
  program address NOT NULL,
  mint address NOT NULL,
  source address,
  destination address,
  source_owner address,
  destination_owner address,
  authority address,
  amount base_units NOT NULL,
  fee base_units NOT NULL DEFAULT 0,
  reference_keys text[] NOT NULL DEFAULT '{}',
  memos text[] NOT NULL DEFAULT '{}',
  finality finality NOT NULL DEFAULT 'confirmed',
  notified_at timestamptz,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (signature, path),
  CHECK (source IS NOT NULL OR destination IS NOT NULL),
  CHECK (fee <= amount)
);
COMMENT ON TABLE transfers IS 'One movement of tokens inside one transaction';
COMMENT ON COLUMN transfers.block_time IS 'The node''s estimate, which may be wrong: `paid_at` says when it was paid';
COMMENT ON COLUMN transfers.notified_at IS 'When a node told of it, by our clock; null where it was found afterwards';
COMMENT ON COLUMN transfers.path IS 'The instruction: outer index, inner index, index in a batch, joined by dots';
COMMENT ON COLUMN transfers.fee IS 'Withheld by the token program: the destination is credited amount - fee';
CREATE INDEX transfers_destination_owner_slot ON transfers (destination_owner, slot DESC, signature, path);
CREATE INDEX transfers_source_owner_slot ON transfers (source_owner, slot DESC, signature, path);
CREATE INDEX transfers_confirmed_slot ON transfers (slot) WHERE finality = 'confirmed';
CREATE INDEX transfers_reference_keys ON transfers USING gin (reference_keys) WHERE reference_keys <> '{}';

-- A block's time is what a node says of it, and some nodes' clocks are wrong. Ours bounds it: nothing was paid after we
-- knew of it, and what a node told us of by itself had just happened. The bound is for nodes that catch up.
CREATE FUNCTION paid_at(block_time timestamptz, notified_at timestamptz, recorded_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN block_time >= notified_at - interval '5 minutes' THEN least(block_time, notified_at, recorded_at)
    WHEN notified_at IS NOT NULL THEN least(notified_at, recorded_at)
    ELSE least(block_time, recorded_at)
  END
$$;
COMMENT ON FUNCTION paid_at(timestamptz, timestamptz, timestamptz) IS
  'When a transfer was paid: by its block where that can be, else when we were told of it';

CREATE TABLE balance_changes (
  signature signature NOT NULL,
  account address NOT NULL,
  slot bigint NOT NULL,
  block_time timestamptz,
  owner address,
  mint address NOT NULL,
  pre base_units NOT NULL,
  post base_units NOT NULL,
  unexplained numeric(21, 0) NOT NULL DEFAULT 0,
  finality finality NOT NULL DEFAULT 'confirmed',
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (signature, account)
);
COMMENT ON TABLE balance_changes IS 'What one transaction did to one followed account';
COMMENT ON COLUMN balance_changes.unexplained IS 'post - pre less the decoded movements: not zero where no instruction shows why';
CREATE INDEX balance_changes_account_slot ON balance_changes (account, slot, signature);
CREATE INDEX balance_changes_confirmed_slot ON balance_changes (slot) WHERE finality = 'confirmed';
CREATE INDEX balance_changes_unexplained ON balance_changes (slot) WHERE unexplained <> 0;

CREATE TABLE events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  type text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  subject text NOT NULL,
  data jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE events IS 'Append-only: what happened, for analytics and later for webhooks';
CREATE INDEX events_type_at ON events (type, at);
CREATE INDEX events_subject ON events (subject);

INSERT INTO tokens (mint, program, decimals, symbol, network) VALUES
  ('EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', 6, 'USDC', 'mainnet-beta'),
  ('Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB', 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', 6, 'USDT', 'mainnet-beta'),
  ('2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo', 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb', 6, 'PYUSD', 'mainnet-beta'),
  ('4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', 6, 'USDC', 'devnet'),
  ('EJwZgeZrdC8TXTQbQBoL6bfuAnFUUy1PVCMB4DYPzVaS', 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', 6, 'USDT', 'devnet'),
  ('CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM', 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb', 6, 'PYUSD', 'devnet'),
  ('So11111111111111111111111111111111111111112', 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', 9, 'SOL', NULL),
  ('11111111111111111111111111111111', '11111111111111111111111111111111', 9, 'SOL', NULL);
