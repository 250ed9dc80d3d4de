-- x402: a settlement is a row before it is a broadcast. It is known by the hash of its message: the empty signature of the
-- fee payer, which anybody can alter, is no part of that.
CREATE TYPE settlement_status AS ENUM ('signed', 'sent', 'settled', 'failed');

CREATE FUNCTION settlement_is_open(status settlement_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('signed', 'sent');
COMMENT ON FUNCTION settlement_is_open IS 'True for a settlement whose transaction may still land';

CREATE TABLE settlements (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  message_hash bytea NOT NULL UNIQUE CHECK (octet_length(message_hash) = 32),
  user_id text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('live', 'test')),
  protocol_version smallint NOT NULL CHECK (protocol_version IN (1, 2)),
  network text NOT NULL,
  payer address NOT NULL,
  fee_payer address NOT NULL,
  pay_to address NOT NULL REFERENCES recipients (address),
  mint address NOT NULL,
  destination address NOT NULL,
  amount base_units NOT NULL CHECK (amount > 0),
  memo text,
  request_nonce text,
  resource text CHECK (char_length(resource) <= 2048),
  final_only boolean NOT NULL DEFAULT false,
  signature signature NOT NULL UNIQUE,
  wire bytea,
  last_valid_block_height bigint NOT NULL,
  payment_identifier text CHECK (payment_identifier ~ '^[A-Za-z0-9_-]{16,128}$'),
  payload_hash bytea NOT NULL CHECK (octet_length(payload_hash) = 32),
  lamports_reserved bigint NOT NULL CHECK (lamports_reserved > 0),
  lamports_spent bigint CHECK (lamports_spent BETWEEN 0 AND lamports_reserved),
  status settlement_status NOT NULL DEFAULT 'signed',
  reason text,
  detail text,
  claim_id uuid REFERENCES transactions (id),
  slot bigint,
  answering_since timestamptz,
  answered_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  sent_at timestamptz,
  decided_at timestamptz,
  UNIQUE (user_id, payment_identifier),
  CHECK (payer <> fee_payer),
  -- Bytes are kept as long as they may have to be sent.
  CHECK (wire IS NOT NULL OR NOT settlement_is_open(status)),
  CHECK ((status = 'failed') = (reason IS NOT NULL)),
  CHECK (status <> 'settled' OR (claim_id IS NOT NULL AND slot IS NOT NULL)),
  CHECK (settlement_is_open(status) = (decided_at IS NULL))
);
COMMENT ON TABLE settlements IS 'A payment over x402 that a fee payer of ours has signed: stored before anybody can broadcast it';
COMMENT ON COLUMN settlements.message_hash IS 'SHA-256 of the transaction''s message, which is what the payer has signed';
COMMENT ON COLUMN settlements.user_id IS 'The merchant to whom it is paid';
COMMENT ON COLUMN settlements.payer IS 'The authority of the transfer';
COMMENT ON COLUMN settlements.request_nonce IS 'The payment request that its memo names';
COMMENT ON COLUMN settlements.final_only IS 'Settled only by a finalized transfer';
COMMENT ON COLUMN settlements.wire IS 'The signed bytes; removed some time after the verdict';
COMMENT ON COLUMN settlements.last_valid_block_height IS 'Beyond this height, finalized, it can never land';
COMMENT ON COLUMN settlements.payload_hash IS 'SHA-256 of what was asked: a payment identifier is bound to it';
COMMENT ON COLUMN settlements.lamports_reserved IS 'The most that its fee can be, counted against the budgets of its day';
COMMENT ON COLUMN settlements.lamports_spent IS 'Its fee, once it has landed, well or badly; 0 where it never did';
COMMENT ON COLUMN settlements.claim_id IS 'The claim that holds its transfer';
COMMENT ON COLUMN settlements.answering_since IS 'When a process set out to answer that it is settled';
COMMENT ON COLUMN settlements.answered_at IS 'When that answer had gone out, or its transfer had honoured another claim: it is not given again';
CREATE TRIGGER settlements_transition BEFORE INSERT OR UPDATE OF status ON settlements
  FOR EACH ROW EXECUTE FUNCTION check_transition('settlement', 'status');
CREATE INDEX settlements_open ON settlements (created_at) WHERE status IN ('signed', 'sent');
-- A payment request is paid by one settlement.
CREATE UNIQUE INDEX settlements_request ON settlements (request_nonce) WHERE request_nonce IS NOT NULL AND status <> 'failed';
CREATE INDEX settlements_claim_id ON settlements (claim_id);
CREATE INDEX settlements_user_id_created_at ON settlements (user_id, created_at);
CREATE INDEX settlements_decided_at ON settlements (decided_at) WHERE wire IS NOT NULL AND decided_at IS NOT NULL;

-- What fees may cost is a promise of the database: whoever reserves more breaks a constraint, and reserves nothing.
CREATE TABLE settlement_budgets (
  day date NOT NULL,
  scope text NOT NULL CHECK (scope IN ('all', 'merchant', 'payer')),
  subject text NOT NULL,
  lamports bigint NOT NULL CHECK (lamports >= 0),
  lamports_max bigint NOT NULL,
  PRIMARY KEY (day, scope, subject),
  CONSTRAINT settlement_budget_all CHECK (scope <> 'all' OR lamports <= lamports_max),
  CONSTRAINT settlement_budget_merchant CHECK (scope <> 'merchant' OR lamports <= lamports_max),
  CONSTRAINT settlement_budget_payer CHECK (scope <> 'payer' OR lamports <= lamports_max)
);
COMMENT ON TABLE settlement_budgets IS 'Lamports of fees that settlements of one day, in UTC, have reserved: of all, of a merchant, of a payer';
COMMENT ON COLUMN settlement_budgets.lamports_max IS 'The budget as the newest reservation was given it';

INSERT INTO state_transitions (machine, from_status, to_status) VALUES
  ('settlement', 'new', 'signed'),
  ('settlement', 'signed', 'sent'),
  ('settlement', 'signed', 'settled'),
  ('settlement', 'signed', 'failed'),
  ('settlement', 'sent', 'settled'),
  ('settlement', 'sent', 'failed'),
  ('settlement', 'settled', 'sent'),
  ('settlement', 'failed', 'settled');
