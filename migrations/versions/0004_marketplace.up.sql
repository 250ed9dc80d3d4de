-- The marketplace: services, jobs, what funded them, and the payouts that settle them. With it the worker's reports
-- and what other processes ask of the indexer.

CREATE TYPE job_status AS ENUM (
  'pending', 'accepted', 'in_progress', 'completed', 'approved', 'disputed', 'cancelled', 'expired'
);
CREATE TYPE escrow_status AS ENUM ('pending', 'escrowed', 'disputed', 'released', 'refunded');
CREATE TYPE payout_status AS ENUM ('queued', 'waiting', 'awaiting_signature', 'signed', 'sent', 'settled');

CREATE TABLE agent_services (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id text NOT NULL,
  agent_id text NOT NULL,
  payout_address address NOT NULL,
  name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
  description text NOT NULL DEFAULT '' CHECK (char_length(description) <= 5000),
  category text NOT NULL CHECK (category IN ('ai', 'data', 'development', 'automation', 'analytics')),
  pricing_model text NOT NULL CHECK (pricing_model IN ('per-request', 'per-hour', 'fixed')),
  price_amount base_units NOT NULL CHECK (price_amount > 0),
  price_mint address NOT NULL REFERENCES tokens (mint),
  price_currency text NOT NULL,
  capabilities text[] NOT NULL DEFAULT '{}',
  tags text[] NOT NULL DEFAULT '{}',
  is_active boolean NOT NULL DEFAULT true,
  total_jobs integer NOT NULL DEFAULT 0,
  successful_jobs integer NOT NULL DEFAULT 0,
  total_earnings base_units NOT NULL DEFAULT 0,
  response_seconds double precision NOT NULL DEFAULT 0,
  rating_sum integer NOT NULL DEFAULT 0,
  rating_count integer NOT NULL DEFAULT 0,
  seed_name text UNIQUE,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (successful_jobs BETWEEN 0 AND total_jobs),
  CHECK (rating_sum BETWEEN rating_count AND 5 * rating_count)
);
COMMENT ON TABLE agent_services IS 'A service that an agent offers, its price, and what it has earned';
COMMENT ON COLUMN agent_services.payout_address IS 'The wallet to which releases go';
COMMENT ON COLUMN agent_services.total_jobs IS 'Jobs that were accepted and whose escrow is settled, either way';
COMMENT ON COLUMN agent_services.total_earnings IS 'Released to the provider, in base units of price_mint';
COMMENT ON COLUMN agent_services.response_seconds IS 'From accepting to submitting, summed over successful jobs';
COMMENT ON COLUMN agent_services.seed_name IS 'Which example of the seed it is, so that seeding again adds nothing';
CREATE INDEX agent_services_category_is_active ON agent_services (category, is_active);
CREATE INDEX agent_services_is_active_total_earnings ON agent_services (is_active, total_earnings);
CREATE INDEX agent_services_is_active_price_amount ON agent_services (is_active, price_amount);
CREATE INDEX agent_services_user_id ON agent_services (user_id);

CREATE TABLE job_requests (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  service_id uuid NOT NULL REFERENCES agent_services (id),
  client_user_id text NOT NULL,
  client_agent_id text NOT NULL,
  provider_user_id text NOT NULL,
  provider_agent_id text NOT NULL,
  payout_address address NOT NULL,
  price_amount base_units NOT NULL CHECK (price_amount > 0),
  price_mint address NOT NULL,
  price_currency text NOT NULL,
  nonce text NOT NULL UNIQUE,
  reference address NOT NULL UNIQUE,
  settlement_wallet address NOT NULL REFERENCES recipients (address),
  settlement_user_id text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('live', 'test')),
  fund_until timestamptz NOT NULL,
  status job_status NOT NULL DEFAULT 'pending',
  escrow_status escrow_status NOT NULL DEFAULT 'pending',
  input jsonb,
  output jsonb,
  dispute_reason text,
  resolution text CHECK (resolution IN ('release', 'refund')),
  deadline timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  accepted_at timestamptz,
  escrowed_at timestamptz,
  completed_at timestamptz,
  ended_at timestamptz,
  settled_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((escrow_status = 'pending') = (escrowed_at IS NULL)),
  CHECK ((escrow_status IN ('released', 'refunded')) = (settled_at IS NOT NULL)),
  CHECK ((status IN ('approved', 'cancelled', 'expired')) = (ended_at IS NOT NULL)),
  CHECK (escrow_status <> 'released' OR status = 'approved')
);
COMMENT ON TABLE job_requests IS 'A service ordered: who does what for whom by when, and where the money is';
COMMENT ON COLUMN job_requests.payout_address IS 'Where the release goes: the service''s at the time of the order';
COMMENT ON COLUMN job_requests.nonce IS
  'The payment request that funds it; its terms stand here too, so that a request that expired can be deleted';
COMMENT ON COLUMN job_requests.settlement_user_id IS 'Whose wallet the settlement wallet is: the merchant of its claims';
COMMENT ON COLUMN job_requests.ended_at IS 'When it was approved, cancelled or had expired';
COMMENT ON COLUMN job_requests.settled_at IS 'When the ledger saw its money leave, finalized';
CREATE TRIGGER job_requests_transition BEFORE INSERT OR UPDATE OF status ON job_requests
  FOR EACH ROW EXECUTE FUNCTION check_transition('job', 'status');
CREATE TRIGGER job_requests_escrow_transition BEFORE INSERT OR UPDATE OF escrow_status ON job_requests
  FOR EACH ROW EXECUTE FUNCTION check_transition('escrow', 'escrow_status');
CREATE INDEX job_requests_status_created_at ON job_requests (status, created_at);
CREATE INDEX job_requests_client_agent_id_status ON job_requests (client_agent_id, status);
CREATE INDEX job_requests_provider_agent_id_status ON job_requests (provider_agent_id, status);
CREATE INDEX job_requests_service_id_created_at ON job_requests (service_id, created_at);
CREATE INDEX job_requests_created_at ON job_requests (created_at);
CREATE INDEX job_requests_held ON job_requests (status) WHERE escrow_status IN ('escrowed', 'disputed');
CREATE INDEX job_requests_open ON job_requests (deadline) WHERE status IN ('pending', 'accepted', 'in_progress');

CREATE TABLE ratings (
  job_id uuid PRIMARY KEY REFERENCES job_requests (id),
  service_id uuid NOT NULL REFERENCES agent_services (id),
  client_user_id text NOT NULL,
  score smallint NOT NULL CHECK (score BETWEEN 1 AND 5),
  feedback text CHECK (char_length(feedback) <= 2000),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  counted_at timestamptz
);
COMMENT ON TABLE ratings IS 'What a client thought of a job, once';
COMMENT ON COLUMN ratings.counted_at IS 'When it entered the rating of its service: never before the release';
CREATE INDEX ratings_service_id ON ratings (service_id);
CREATE INDEX ratings_uncounted ON ratings (job_id) WHERE counted_at IS NULL;

CREATE TABLE job_fundings (
  claim_id uuid PRIMARY KEY REFERENCES transactions (id),
  job_id uuid NOT NULL REFERENCES job_requests (id),
  escrowed base_units NOT NULL,
  rest base_units NOT NULL,
  rest_reason text CHECK (rest_reason IN ('excess', 'short', 'duplicate', 'late', 'wrong_token', 'closed')),
  noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (escrowed + rest > 0),
  CHECK ((rest > 0) = (rest_reason IS NOT NULL))
);
COMMENT ON TABLE job_fundings IS 'A finalized payment for a job: how much of it is held for the job, how much goes back';
COMMENT ON COLUMN job_fundings.claim_id IS 'The claim that took the transfer, so that nothing else can be paid with it';
COMMENT ON COLUMN job_fundings.rest IS 'What is not the price goes back, for this reason';
-- A job is funded once.
CREATE UNIQUE INDEX job_fundings_escrow ON job_fundings (job_id) WHERE escrowed > 0;
CREATE INDEX job_fundings_job_id ON job_fundings (job_id);

CREATE TABLE payouts (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  job_id uuid NOT NULL REFERENCES job_requests (id),
  claim_id uuid NOT NULL REFERENCES job_fundings (claim_id),
  part text NOT NULL CHECK (part IN ('escrow', 'rest')),
  kind text NOT NULL CHECK (kind IN ('release', 'refund')),
  reason text NOT NULL,
  wallet address NOT NULL,
  recipient address NOT NULL,
  mint address NOT NULL,
  amount base_units NOT NULL CHECK (amount > 0),
  reference address NOT NULL UNIQUE,
  status payout_status NOT NULL DEFAULT 'queued',
  waiting_reason text,
  tries integer NOT NULL DEFAULT 0,
  next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled_signature signature,
  settled_path text COLLATE "C",
  token_fee base_units NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled_at timestamptz,
  -- What came in leaves once: released or refunded, never both.
  UNIQUE (claim_id, part),
  UNIQUE (settled_signature, settled_path),
  FOREIGN KEY (settled_signature, settled_path) REFERENCES transfers (signature, path),
  CHECK (kind = 'refund' OR part = 'escrow'),
  CHECK ((status = 'settled') = (settled_signature IS NOT NULL AND settled_path IS NOT NULL AND settled_at IS NOT NULL)),
  CHECK ((status = 'waiting') = (waiting_reason IS NOT NULL))
);
COMMENT ON TABLE payouts IS 'Money to send, once';
COMMENT ON COLUMN payouts.wallet IS 'The settlement wallet that holds it';
COMMENT ON COLUMN payouts.amount IS 'What the recipient gains, in base units; a token''s own fee comes on top';
COMMENT ON COLUMN payouts.reference IS 'A fresh key that every attempt carries: the ledger knows the payout by it';
COMMENT ON COLUMN payouts.token_fee IS 'What the token itself took, borne by the settlement wallet';
CREATE TRIGGER payouts_transition BEFORE INSERT OR UPDATE OF status ON payouts
  FOR EACH ROW EXECUTE FUNCTION check_transition('payout', 'status');
CREATE INDEX payouts_open ON payouts (next_try_at) WHERE status <> 'settled';
CREATE INDEX payouts_job_id ON payouts (job_id);
CREATE INDEX payouts_created_at ON payouts (created_at);

CREATE TABLE payout_attempts (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  payout_id uuid NOT NULL REFERENCES payouts (id),
  source_account address NOT NULL,
  message bytea NOT NULL,
  last_valid_block_height bigint NOT NULL,
  dead_from_slot bigint,
  signature signature UNIQUE,
  wire bytea,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  signed_at timestamptz,
  sent_at timestamptz,
  ended_at timestamptz,
  outcome text CHECK (outcome IN ('settled', 'expired', 'failed')),
  error text,
  CHECK ((signature IS NULL) = (wire IS NULL) AND (signature IS NULL) = (signed_at IS NULL)),
  CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE payout_attempts IS 'A transaction made for a payout: its bytes are stored before anybody can broadcast them';
COMMENT ON COLUMN payout_attempts.last_valid_block_height IS 'Beyond this height, finalized, it can never land';
COMMENT ON COLUMN payout_attempts.source_account IS 'The account that the tokens leave';
COMMENT ON COLUMN payout_attempts.dead_from_slot IS 'A finalized slot beyond that height: a ledger proven up to here knows its fate';
COMMENT ON COLUMN payout_attempts.error IS 'What a node said of it last';
-- A payout has one living attempt: while it can land there is no other.
CREATE UNIQUE INDEX payout_attempts_living ON payout_attempts (payout_id) WHERE ended_at IS NULL;
CREATE INDEX payout_attempts_payout_id ON payout_attempts (payout_id);

CREATE TABLE reconciliation_runs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
  requested_by text NOT NULL,
  progress jsonb NOT NULL DEFAULT '{}',
  report jsonb,
  error text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,
  finished_at timestamptz,
  CHECK ((status = 'done') = (report IS NOT NULL)),
  CHECK ((status IN ('done', 'failed')) = (finished_at IS NOT NULL))
);
COMMENT ON TABLE reconciliation_runs IS 'One reconciliation, asked for or routine, and its report';
CREATE INDEX reconciliation_runs_created_at ON reconciliation_runs (created_at);
CREATE INDEX reconciliation_runs_unfinished ON reconciliation_runs (created_at) WHERE finished_at IS NULL;

CREATE TABLE index_requests (
  signature signature PRIMARY KEY,
  reason text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  tries integer NOT NULL DEFAULT 0,
  next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  error text
);
COMMENT ON TABLE index_requests IS 'A transaction that somebody needs in the ledger at once; the indexers work these off';
CREATE INDEX index_requests_open ON index_requests (next_try_at) WHERE finished_at IS NULL;

CREATE TABLE backfill_requests (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  requested_by text NOT NULL,
  recipient address,
  signature signature,
  from_slot bigint CHECK (from_slot >= 0),
  to_slot bigint CHECK (to_slot >= from_slot),
  status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
  progress jsonb NOT NULL DEFAULT '{}',
  error text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,
  alive_at timestamptz,
  finished_at timestamptz,
  CHECK ((status IN ('done', 'failed')) = (finished_at IS NOT NULL))
);
COMMENT ON TABLE backfill_requests IS 'A stretch of history to record; an indexer takes it, tells its progress and finishes it';
COMMENT ON COLUMN backfill_requests.alive_at IS 'When its indexer was last at it; one that died is succeeded by another';
CREATE INDEX backfill_requests_open ON backfill_requests (created_at) WHERE finished_at IS NULL;

ALTER TABLE transactions ADD COLUMN missing_at_height bigint;
COMMENT ON COLUMN transactions.missing_at_height IS 'While pending: the block height at which no node knew its transaction';

INSERT INTO state_transitions (machine, from_status, to_status) VALUES
  ('job', 'new', 'pending'),
  ('job', 'pending', 'accepted'),
  ('job', 'pending', 'cancelled'),
  ('job', 'pending', 'expired'),
  ('job', 'accepted', 'in_progress'),
  ('job', 'accepted', 'completed'),
  ('job', 'accepted', 'disputed'),
  ('job', 'accepted', 'cancelled'),
  ('job', 'accepted', 'expired'),
  ('job', 'in_progress', 'completed'),
  ('job', 'in_progress', 'disputed'),
  ('job', 'in_progress', 'cancelled'),
  ('job', 'in_progress', 'expired'),
  ('job', 'completed', 'approved'),
  ('job', 'completed', 'disputed'),
  ('job', 'disputed', 'approved'),
  ('job', 'disputed', 'cancelled'),
  ('escrow', 'new', 'pending'),
  ('escrow', 'pending', 'escrowed'),
  ('escrow', 'escrowed', 'disputed'),
  ('escrow', 'escrowed', 'released'),
  ('escrow', 'escrowed', 'refunded'),
  ('escrow', 'disputed', 'released'),
  ('escrow', 'disputed', 'refunded'),
  ('payout', 'new', 'queued'),
  ('payout', 'queued', 'waiting'),
  ('payout', 'queued', 'awaiting_signature'),
  ('payout', 'queued', 'signed'),
  ('payout', 'queued', 'settled'),
  ('payout', 'waiting', 'queued'),
  ('payout', 'waiting', 'settled'),
  ('payout', 'awaiting_signature', 'queued'),
  ('payout', 'awaiting_signature', 'signed'),
  ('payout', 'awaiting_signature', 'settled'),
  ('payout', 'signed', 'queued'),
  ('payout', 'signed', 'sent'),
  ('payout', 'signed', 'settled'),
  ('payout', 'sent', 'queued'),
  ('payout', 'sent', 'settled');
