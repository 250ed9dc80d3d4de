-- Claims: who says that which payment is theirs, and what was made of it. With what surrounds them: payment requests,
-- API keys, answers kept for repeated requests, and signs of life of our processes.

-- The state machines of `ledger/states.py`, row by row: no code path can take a step that is not in here.
CREATE TABLE state_transitions (
  machine text NOT NULL,
  from_status text NOT NULL,
  to_status text NOT NULL,
  PRIMARY KEY (machine, from_status, to_status)
);
COMMENT ON TABLE state_transitions IS 'The steps that a status may take; `new` is where a row comes from';

CREATE FUNCTION check_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  which text := TG_ARGV[0];
  stood text := 'new';
  wanted text := to_jsonb(NEW) ->> TG_ARGV[1];
BEGIN
  IF TG_OP = 'UPDATE' THEN
    stood := to_jsonb(OLD) ->> TG_ARGV[1];
    IF stood = wanted THEN
      RETURN NEW;
    END IF;
  END IF;
  IF NOT EXISTS (
    SELECT FROM state_transitions AS s
    WHERE s.machine = which AND s.from_status = stood AND s.to_status = wanted
  ) THEN
    RAISE EXCEPTION 'a % cannot go from % to %', which, stood, wanted USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION check_transition() IS 'Refuses a step that state_transitions does not list. Arguments: machine, column';

CREATE TYPE claim_status AS ENUM ('pending', 'confirmed', 'finalized', 'reversed', 'failed', 'expired');

CREATE TABLE transactions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id text NOT NULL,
  nonce text NOT NULL CHECK (char_length(nonce) BETWEEN 1 AND 256),
  signature signature NOT NULL,
  path text COLLATE "C",
  payer address NOT NULL,
  recipient address,
  mint address NOT NULL,
  currency text NOT NULL,
  amount base_units NOT NULL CHECK (amount > 0),
  least_amount base_units NOT NULL,
  received base_units,
  exact boolean NOT NULL DEFAULT false,
  final_only boolean NOT NULL DEFAULT false,
  resource text,
  agent_id text,
  environment text NOT NULL DEFAULT 'live' CHECK (environment IN ('live', 'test')),
  status claim_status NOT NULL DEFAULT 'pending',
  code text,
  "timestamp" timestamptz NOT NULL DEFAULT clock_timestamp(),
  told_at timestamptz,
  asked_with text,
  honoured_at timestamptz,
  reversed_at timestamptz,
  settled_at timestamptz,
  FOREIGN KEY (signature, path) REFERENCES transfers (signature, path),
  CHECK (least_amount > 0 AND least_amount <= amount),
  CHECK (status NOT IN ('confirmed', 'finalized', 'reversed') OR (path IS NOT NULL AND received >= least_amount)),
  CHECK ((status IN ('failed', 'expired')) = (code IS NOT NULL))
);
COMMENT ON TABLE transactions IS 'A claimed payment and its status; it takes at most one transfer, ever';
COMMENT ON COLUMN transactions.user_id IS 'The merchant to whom it was paid';
COMMENT ON COLUMN transactions.path IS 'With signature: the transfer it took';
COMMENT ON COLUMN transactions.recipient IS 'The wallet that was paid; while pending, the one that was named, if any';
COMMENT ON COLUMN transactions.amount IS 'What was claimed, in base units';
COMMENT ON COLUMN transactions.least_amount IS 'What counts as the amount: a client of doubles rounds down';
COMMENT ON COLUMN transactions.received IS 'What the transfer credited, in base units';
COMMENT ON COLUMN transactions.exact IS 'More than the amount is refused too';
COMMENT ON COLUMN transactions.final_only IS 'Honoured only by a finalized transfer';
COMMENT ON COLUMN transactions.told_at IS 'When its payer''s proof was answered with yes, which happens once; null while nobody has asked';
COMMENT ON COLUMN transactions.asked_with IS 'Hash of the Idempotency-Key, and its caller, of the request that was told yes: it may be told again';
CREATE TRIGGER transactions_transition BEFORE INSERT OR UPDATE OF status ON transactions
  FOR EACH ROW EXECUTE FUNCTION check_transition('claim', 'status');

-- Single use is promised here and nowhere else: a transfer honours one claim, a nonce of a merchant one payment.
CREATE UNIQUE INDEX transactions_transfer ON transactions (signature, path)
  WHERE status IN ('confirmed', 'finalized', 'reversed');
-- The nonce stands first in these two: no other index begins with it, so that nobody can mistake another for theirs.
CREATE UNIQUE INDEX transactions_nonce ON transactions (nonce, user_id)
  WHERE status IN ('confirmed', 'finalized', 'reversed');
-- A proof that is repeated meets the claim it made.
CREATE UNIQUE INDEX transactions_proof ON transactions (nonce, signature, payer, user_id);
CREATE INDEX transactions_pending ON transactions ("timestamp") WHERE status = 'pending';
CREATE INDEX transactions_pending_user ON transactions (user_id) WHERE status = 'pending';
CREATE INDEX transactions_unsettled ON transactions (signature) WHERE status IN ('confirmed', 'reversed');
CREATE INDEX transactions_payer_timestamp ON transactions (payer, "timestamp");
CREATE INDEX transactions_recipient_status ON transactions (recipient, status);
CREATE INDEX transactions_timestamp_status ON transactions ("timestamp", status);
CREATE INDEX transactions_agent_id_timestamp ON transactions (agent_id, "timestamp");
CREATE INDEX transactions_user_id_timestamp ON transactions (user_id, "timestamp");

CREATE TABLE nonces (
  nonce text PRIMARY KEY CHECK (char_length(nonce) BETWEEN 1 AND 256),
  user_id text NOT NULL,
  recipient address NOT NULL REFERENCES recipients (address),
  mint address NOT NULL,
  currency text NOT NULL,
  amount base_units NOT NULL CHECK (amount > 0),
  resource text,
  scheme text NOT NULL DEFAULT 'minimum' CHECK (scheme IN ('exact', 'minimum')),
  metadata jsonb NOT NULL DEFAULT '{}',
  reference address NOT NULL UNIQUE,
  environment text NOT NULL DEFAULT 'live' CHECK (environment IN ('live', 'test')),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  expired_at timestamptz
);
COMMENT ON TABLE nonces IS 'A payment request: what is to be paid, to whom, until when';
COMMENT ON COLUMN nonces.reference IS 'A fresh key that a transfer can carry, so that it is matched without a claim';
COMMENT ON COLUMN nonces.expired_at IS 'When the worker noticed that it had expired unpaid';
CREATE INDEX nonces_user_id_created_at ON nonces (user_id, created_at);
CREATE INDEX nonces_unexpired ON nonces (expires_at) WHERE expired_at IS NULL;

CREATE TABLE api_keys (
  key_prefix text PRIMARY KEY,
  key text NOT NULL UNIQUE CHECK (key ~ '^[0-9a-f]{64}$'),
  user_id text NOT NULL,
  name text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('live', 'test')),
  permissions text[] NOT NULL CHECK (
    permissions <> '{}' AND permissions <@ ARRAY['read', 'write', 'admin']
  ),
  final_only boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz,
  last_used timestamptz,
  revoked boolean NOT NULL DEFAULT false,
  revoked_at timestamptz,
  replaced_by text REFERENCES api_keys (key_prefix)
);
COMMENT ON TABLE api_keys IS 'An API key: its owner and rights, and the SHA-256 of the key, never the key itself';
COMMENT ON COLUMN api_keys.key IS 'SHA-256 of the key, in hexadecimal; the key has 256 random bits';
COMMENT ON COLUMN api_keys.final_only IS 'Its claims are honoured by finalized transfers only';
CREATE INDEX api_keys_user_id ON api_keys (user_id);
CREATE INDEX api_keys_user_id_revoked ON api_keys (user_id, revoked);
CREATE INDEX api_keys_revoked_expires_at ON api_keys (revoked, expires_at);

CREATE TABLE idempotent_answers (
  caller text NOT NULL,
  idempotency_key text NOT NULL CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
  request_hash text NOT NULL,
  status integer,
  headers jsonb,
  body bytea,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (caller, idempotency_key)
);
COMMENT ON TABLE idempotent_answers IS 'The first answer to a request that carried an Idempotency-Key; null while it is being made';
CREATE INDEX idempotent_answers_created_at ON idempotent_answers (created_at);

CREATE TABLE heartbeats (
  role text NOT NULL,
  instance text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_slot bigint,
  recorded_slot bigint,
  PRIMARY KEY (role, instance)
);
COMMENT ON TABLE heartbeats IS 'Signs of life of indexers and workers';
COMMENT ON COLUMN heartbeats.seen_slot IS 'The newest slot that an indexer has been told of';
COMMENT ON COLUMN heartbeats.recorded_slot IS 'Everything it has been told of up to this slot is recorded';

ALTER TABLE events ADD COLUMN user_id text, ADD COLUMN agent_id text;
COMMENT ON COLUMN events.user_id IS 'Whose event it is; null where the ledger itself speaks';
CREATE INDEX events_user_id_at ON events (user_id, at) WHERE user_id IS NOT NULL;

CREATE INDEX recipients_user_id ON recipients (user_id);
CREATE INDEX transfers_memos ON transfers USING gin (memos) WHERE memos <> '{}';

INSERT INTO state_transitions (machine, from_status, to_status) VALUES
  ('claim', 'new', 'pending'),
  ('claim', 'new', 'confirmed'),
  ('claim', 'new', 'finalized'),
  ('claim', 'pending', 'confirmed'),
  ('claim', 'pending', 'failed'),
  ('claim', 'pending', 'expired'),
  ('claim', 'confirmed', 'finalized'),
  ('claim', 'confirmed', 'reversed'),
  ('claim', 'reversed', 'confirmed'),
  ('claim', 'reversed', 'failed');
