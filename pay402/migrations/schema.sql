-- What the migrations add up to. Written by `pay402 migrate dump`; do not edit.

CREATE DOMAIN public.address AS text COLLATE pg_catalog."C"
	CONSTRAINT address_check CHECK ((((length(VALUE) >= 32) AND (length(VALUE) <= 44)) AND (VALUE !~ '[^1-9A-HJ-NP-Za-km-z]'::text)));

CREATE DOMAIN public.base_units AS numeric(20,0)
	CONSTRAINT base_units_check CHECK (((VALUE >= (0)::numeric) AND (VALUE <= '18446744073709551615'::numeric)));

CREATE TYPE public.claim_status AS ENUM (
    'pending',
    'confirmed',
    'finalized',
    'reversed',
    'failed',
    'expired'
);

CREATE TYPE public.escrow_status AS ENUM (
    'pending',
    'escrowed',
    'disputed',
    'released',
    'refunded'
);

CREATE TYPE public.finality AS ENUM (
    'confirmed',
    'finalized',
    'orphaned'
);

CREATE TYPE public.job_status AS ENUM (
    'pending',
    'accepted',
    'in_progress',
    'completed',
    'approved',
    'disputed',
    'cancelled',
    'expired'
);

CREATE TYPE public.payout_status AS ENUM (
    'queued',
    'waiting',
    'awaiting_signature',
    'signed',
    'sent',
    'settled'
);

CREATE DOMAIN public.signature AS text COLLATE pg_catalog."C"
	CONSTRAINT signature_check CHECK ((((length(VALUE) >= 64) AND (length(VALUE) <= 88)) AND (VALUE !~ '[^1-9A-HJ-NP-Za-km-z]'::text)));

CREATE FUNCTION public.check_transition() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

COMMENT ON FUNCTION public.check_transition() IS 'Refuses a step that state_transitions does not list. Arguments: machine, column';

CREATE TABLE public.agent_services (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id text NOT NULL,
    agent_id text NOT NULL,
    payout_address public.address NOT NULL,
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    category text NOT NULL,
    pricing_model text NOT NULL,
    price_amount public.base_units NOT NULL,
    price_mint public.address NOT NULL,
    price_currency text NOT NULL,
    capabilities text[] DEFAULT '{}'::text[] NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    total_jobs integer DEFAULT 0 NOT NULL,
    successful_jobs integer DEFAULT 0 NOT NULL,
    total_earnings public.base_units DEFAULT 0 NOT NULL,
    response_seconds double precision DEFAULT 0 NOT NULL,
    rating_sum integer DEFAULT 0 NOT NULL,
    rating_count integer DEFAULT 0 NOT NULL,
    seed_name text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT agent_services_category_check CHECK ((category = ANY (ARRAY['ai'::text, 'data'::text, 'development'::text, 'automation'::text, 'analytics'::text]))),
    CONSTRAINT agent_services_check CHECK (((successful_jobs >= 0) AND (successful_jobs <= total_jobs))),
    CONSTRAINT agent_services_check1 CHECK (((rating_sum >= rating_count) AND (rating_sum <= (5 * rating_count)))),
    CONSTRAINT agent_services_description_check CHECK ((char_length(description) <= 5000)),
    CONSTRAINT agent_services_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT agent_services_price_amount_check CHECK (((price_amount)::numeric > (0)::numeric)),
    CONSTRAINT agent_services_pricing_model_check CHECK ((pricing_model = ANY (ARRAY['per-request'::text, 'per-hour'::text, 'fixed'::text])))
);

COMMENT ON TABLE public.agent_services IS 'A service that an agent offers, its price, and what it has earned';

COMMENT ON COLUMN public.agent_services.payout_address IS 'The wallet to which releases go';

COMMENT ON COLUMN public.agent_services.total_jobs IS 'Jobs that were accepted and whose escrow is settled, either way';

COMMENT ON COLUMN public.agent_services.total_earnings IS 'Released to the provider, in base units of price_mint';

COMMENT ON COLUMN public.agent_services.response_seconds IS 'From accepting to submitting, summed over successful jobs';

COMMENT ON COLUMN public.agent_services.seed_name IS 'Which example of the seed it is, so that seeding again adds nothing';

CREATE TABLE public.api_keys (
    key_prefix text NOT NULL,
    key text NOT NULL,
    user_id text NOT NULL,
    name text NOT NULL,
    environment text NOT NULL,
    permissions text[] NOT NULL,
    final_only boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone,
    last_used timestamp with time zone,
    revoked boolean DEFAULT false NOT NULL,
    revoked_at timestamp with time zone,
    replaced_by text,
    CONSTRAINT api_keys_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT api_keys_key_check CHECK ((key ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT api_keys_permissions_check CHECK (((permissions <> '{}'::text[]) AND (permissions <@ ARRAY['read'::text, 'write'::text, 'admin'::text])))
);

COMMENT ON TABLE public.api_keys IS 'An API key: its owner and rights, and the SHA-256 of the key, never the key itself';

COMMENT ON COLUMN public.api_keys.key IS 'SHA-256 of the key, in hexadecimal; the key has 256 random bits';

COMMENT ON COLUMN public.api_keys.final_only IS 'Its claims are honoured by finalized transfers only';

CREATE TABLE public.backfill_requests (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    requested_by text NOT NULL,
    recipient public.address,
    signature public.signature,
    from_slot bigint,
    to_slot bigint,
    status text DEFAULT 'queued'::text NOT NULL,
    progress jsonb DEFAULT '{}'::jsonb NOT NULL,
    error text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    started_at timestamp with time zone,
    alive_at timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT backfill_requests_check CHECK ((to_slot >= from_slot)),
    CONSTRAINT backfill_requests_check1 CHECK (((status = ANY (ARRAY['done'::text, 'failed'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT backfill_requests_from_slot_check CHECK ((from_slot >= 0)),
    CONSTRAINT backfill_requests_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text, 'failed'::text])))
);

COMMENT ON TABLE public.backfill_requests IS 'A stretch of history to record; an indexer takes it, tells its progress and finishes it';

COMMENT ON COLUMN public.backfill_requests.alive_at IS 'When its indexer was last at it; one that died is succeeded by another';

CREATE TABLE public.balance_changes (
    signature public.signature NOT NULL,
    account public.address NOT NULL,
    slot bigint NOT NULL,
    block_time timestamp with time zone,
    owner public.address,
    mint public.address NOT NULL,
    pre public.base_units NOT NULL,
    post public.base_units NOT NULL,
    unexplained numeric(21,0) DEFAULT 0 NOT NULL,
    finality public.finality DEFAULT 'confirmed'::public.finality NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.balance_changes IS 'What one transaction did to one followed account';

COMMENT ON COLUMN public.balance_changes.unexplained IS 'post - pre less the decoded movements: not zero where no instruction shows why';

CREATE TABLE public.events (
    id bigint NOT NULL,
    type text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    subject text NOT NULL,
    data jsonb DEFAULT '{}'::jsonb NOT NULL,
    user_id text,
    agent_id text
);

COMMENT ON TABLE public.events IS 'Append-only: what happened, for analytics and later for webhooks';

COMMENT ON COLUMN public.events.user_id IS 'Whose event it is; null where the ledger itself speaks';

ALTER TABLE public.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.heartbeats (
    role text NOT NULL,
    instance text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_slot bigint,
    recorded_slot bigint
);

COMMENT ON TABLE public.heartbeats IS 'Signs of life of indexers and workers';

COMMENT ON COLUMN public.heartbeats.seen_slot IS 'The newest slot that an indexer has been told of';

COMMENT ON COLUMN public.heartbeats.recorded_slot IS 'Everything it has been told of up to this slot is recorded';

CREATE TABLE public.idempotent_answers (
    caller text NOT NULL,
    idempotency_key text NOT NULL,
    request_hash text NOT NULL,
    status integer,
    headers jsonb,
    body bytea,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT idempotent_answers_idempotency_key_check CHECK (((char_length(idempotency_key) >= 1) AND (char_length(idempotency_key) <= 255)))
);

COMMENT ON TABLE public.idempotent_answers IS 'The first answer to a request that carried an Idempotency-Key; null while it is being made';

CREATE TABLE public.index_requests (
    signature public.signature NOT NULL,
    reason text NOT NULL,
    requested_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    next_try_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    error text
);

COMMENT ON TABLE public.index_requests IS 'A transaction that somebody needs in the ledger at once; the indexers work these off';

CREATE TABLE public.job_fundings (
    claim_id uuid NOT NULL,
    job_id uuid NOT NULL,
    escrowed public.base_units NOT NULL,
    rest public.base_units NOT NULL,
    rest_reason text,
    noticed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT job_fundings_check CHECK ((((escrowed)::numeric + (rest)::numeric) > (0)::numeric)),
    CONSTRAINT job_fundings_check1 CHECK ((((rest)::numeric > (0)::numeric) = (rest_reason IS NOT NULL))),
    CONSTRAINT job_fundings_rest_reason_check CHECK ((rest_reason = ANY (ARRAY['excess'::text, 'short'::text, 'duplicate'::text, 'late'::text, 'wrong_token'::text, 'closed'::text])))
);

COMMENT ON TABLE public.job_fundings IS 'A finalized payment for a job: how much of it is held for the job, how much goes back';

COMMENT ON COLUMN public.job_fundings.claim_id IS 'The claim that took the transfer, so that nothing else can be paid with it';

COMMENT ON COLUMN public.job_fundings.rest IS 'What is not the price goes back, for this reason';

CREATE TABLE public.job_requests (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    service_id uuid NOT NULL,
    client_user_id text NOT NULL,
    client_agent_id text NOT NULL,
    provider_user_id text NOT NULL,
    provider_agent_id text NOT NULL,
    payout_address public.address NOT NULL,
    price_amount public.base_units NOT NULL,
    price_mint public.address NOT NULL,
    price_currency text NOT NULL,
    nonce text NOT NULL,
    status public.job_status DEFAULT 'pending'::public.job_status NOT NULL,
    escrow_status public.escrow_status DEFAULT 'pending'::public.escrow_status NOT NULL,
    input jsonb,
    output jsonb,
    dispute_reason text,
    resolution text,
    deadline timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    accepted_at timestamp with time zone,
    escrowed_at timestamp with time zone,
    completed_at timestamp with time zone,
    ended_at timestamp with time zone,
    settled_at timestamp with time zone,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT job_requests_check CHECK (((escrow_status = 'pending'::public.escrow_status) = (escrowed_at IS NULL))),
    CONSTRAINT job_requests_check1 CHECK (((escrow_status = ANY (ARRAY['released'::public.escrow_status, 'refunded'::public.escrow_status])) = (settled_at IS NOT NULL))),
    CONSTRAINT job_requests_check2 CHECK (((status = ANY (ARRAY['approved'::public.job_status, 'cancelled'::public.job_status, 'expired'::public.job_status])) = (ended_at IS NOT NULL))),
    CONSTRAINT job_requests_check3 CHECK (((escrow_status <> 'released'::public.escrow_status) OR (status = 'approved'::public.job_status))),
    CONSTRAINT job_requests_price_amount_check CHECK (((price_amount)::numeric > (0)::numeric)),
    CONSTRAINT job_requests_resolution_check CHECK ((resolution = ANY (ARRAY['release'::text, 'refund'::text])))
);

COMMENT ON TABLE public.job_requests IS 'A service ordered: who does what for whom by when, and where the money is';

COMMENT ON COLUMN public.job_requests.payout_address IS 'Where the release goes: the service''s at the time of the order';

COMMENT ON COLUMN public.job_requests.nonce IS 'The payment request that funds it';

COMMENT ON COLUMN public.job_requests.ended_at IS 'When it was approved, cancelled or had expired';

COMMENT ON COLUMN public.job_requests.settled_at IS 'When the ledger saw its money leave, finalized';

CREATE TABLE public.nonces (
    nonce text NOT NULL,
    user_id text NOT NULL,
    recipient public.address NOT NULL,
    mint public.address NOT NULL,
    currency text NOT NULL,
    amount public.base_units NOT NULL,
    resource text,
    scheme text DEFAULT 'minimum'::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    reference public.address NOT NULL,
    environment text DEFAULT 'live'::text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    expired_at timestamp with time zone,
    CONSTRAINT nonces_amount_check CHECK (((amount)::numeric > (0)::numeric)),
    CONSTRAINT nonces_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT nonces_nonce_check CHECK (((char_length(nonce) >= 1) AND (char_length(nonce) <= 256))),
    CONSTRAINT nonces_scheme_check CHECK ((scheme = ANY (ARRAY['exact'::text, 'minimum'::text])))
);

COMMENT ON TABLE public.nonces IS 'A payment request: what is to be paid, to whom, until when';

COMMENT ON COLUMN public.nonces.reference IS 'A fresh key that a transfer can carry, so that it is matched without a claim';

COMMENT ON COLUMN public.nonces.expired_at IS 'When the worker noticed that it had expired unpaid';

CREATE TABLE public.payout_attempts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    payout_id uuid NOT NULL,
    source_account public.address NOT NULL,
    message bytea NOT NULL,
    last_valid_block_height bigint NOT NULL,
    dead_from_slot bigint,
    signature public.signature,
    wire bytea,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    signed_at timestamp with time zone,
    sent_at timestamp with time zone,
    ended_at timestamp with time zone,
    outcome text,
    error text,
    CONSTRAINT payout_attempts_check CHECK ((((signature IS NULL) = (wire IS NULL)) AND ((signature IS NULL) = (signed_at IS NULL)))),
    CONSTRAINT payout_attempts_check1 CHECK (((ended_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT payout_attempts_outcome_check CHECK ((outcome = ANY (ARRAY['settled'::text, 'expired'::text, 'failed'::text])))
);

COMMENT ON TABLE public.payout_attempts IS 'A transaction made for a payout: its bytes are stored before anybody can broadcast them';

COMMENT ON COLUMN public.payout_attempts.source_account IS 'The account that the tokens leave';

COMMENT ON COLUMN public.payout_attempts.last_valid_block_height IS 'Beyond this height, finalized, it can never land';

COMMENT ON COLUMN public.payout_attempts.dead_from_slot IS 'A finalized slot beyond that height: a ledger proven up to here knows its fate';

COMMENT ON COLUMN public.payout_attempts.error IS 'What a node said of it last';

CREATE TABLE public.payouts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    job_id uuid NOT NULL,
    claim_id uuid NOT NULL,
    part text NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    wallet public.address NOT NULL,
    recipient public.address NOT NULL,
    mint public.address NOT NULL,
    amount public.base_units NOT NULL,
    reference public.address NOT NULL,
    status public.payout_status DEFAULT 'queued'::public.payout_status NOT NULL,
    waiting_reason text,
    tries integer DEFAULT 0 NOT NULL,
    next_try_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    settled_signature public.signature,
    settled_path text COLLATE pg_catalog."C",
    token_fee public.base_units DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT payouts_amount_check CHECK (((amount)::numeric > (0)::numeric)),
    CONSTRAINT payouts_check CHECK (((kind = 'refund'::text) OR (part = 'escrow'::text))),
    CONSTRAINT payouts_check1 CHECK (((status = 'settled'::public.payout_status) = ((settled_signature IS NOT NULL) AND (settled_path IS NOT NULL) AND (settled_at IS NOT NULL)))),
    CONSTRAINT payouts_check2 CHECK (((status = 'waiting'::public.payout_status) = (waiting_reason IS NOT NULL))),
    CONSTRAINT payouts_kind_check CHECK ((kind = ANY (ARRAY['release'::text, 'refund'::text]))),
    CONSTRAINT payouts_part_check CHECK ((part = ANY (ARRAY['escrow'::text, 'rest'::text])))
);

COMMENT ON TABLE public.payouts IS 'Money to send, once';

COMMENT ON COLUMN public.payouts.wallet IS 'The settlement wallet that holds it';

COMMENT ON COLUMN public.payouts.amount IS 'What the recipient gains, in base units; a token''s own fee comes on top';

COMMENT ON COLUMN public.payouts.reference IS 'A fresh key that every attempt carries: the ledger knows the payout by it';

COMMENT ON COLUMN public.payouts.token_fee IS 'What the token itself took, borne by the settlement wallet';

CREATE TABLE public.ratings (
    job_id uuid NOT NULL,
    service_id uuid NOT NULL,
    client_user_id text NOT NULL,
    score smallint NOT NULL,
    feedback text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    counted_at timestamp with time zone,
    CONSTRAINT ratings_feedback_check CHECK ((char_length(feedback) <= 2000)),
    CONSTRAINT ratings_score_check CHECK (((score >= 1) AND (score <= 5)))
);

COMMENT ON TABLE public.ratings IS 'What a client thought of a job, once';

COMMENT ON COLUMN public.ratings.counted_at IS 'When it entered the rating of its service: never before the release';

CREATE TABLE public.recipients (
    address public.address NOT NULL,
    user_id text NOT NULL,
    label text,
    followed_from_slot bigint NOT NULL,
    active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    removed_at timestamp with time zone,
    CONSTRAINT recipients_followed_from_slot_check CHECK ((followed_from_slot >= 0))
);

COMMENT ON TABLE public.recipients IS 'A wallet that is paid, and the user it belongs to';

COMMENT ON COLUMN public.recipients.followed_from_slot IS 'The ledger holds every transaction from this slot on; 0 means from genesis';

CREATE TABLE public.reconciliation_runs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    requested_by text NOT NULL,
    progress jsonb DEFAULT '{}'::jsonb NOT NULL,
    report jsonb,
    error text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT reconciliation_runs_check CHECK (((status = 'done'::text) = (report IS NOT NULL))),
    CONSTRAINT reconciliation_runs_check1 CHECK (((status = ANY (ARRAY['done'::text, 'failed'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT reconciliation_runs_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text, 'failed'::text])))
);

COMMENT ON TABLE public.reconciliation_runs IS 'One reconciliation, asked for or routine, and its report';

CREATE TABLE public.state_transitions (
    machine text NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL
);

COMMENT ON TABLE public.state_transitions IS 'The steps that a status may take; `new` is where a row comes from';

CREATE TABLE public.token_accounts (
    address public.address NOT NULL,
    recipient public.address NOT NULL,
    mint public.address NOT NULL,
    program public.address NOT NULL,
    opened_slot bigint,
    closed_slot bigint,
    cursor_slot bigint DEFAULT 0 NOT NULL,
    cursor_signature public.signature,
    heal_reason text,
    heal_wanted_at timestamp with time zone,
    healed_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    audited_slot bigint,
    audited_balance public.base_units,
    audited_at timestamp with time zone,
    drift numeric(21,0) DEFAULT 0 NOT NULL,
    gaps integer DEFAULT 0 NOT NULL,
    CONSTRAINT token_accounts_gaps_check CHECK ((gaps >= 0))
);

COMMENT ON TABLE public.token_accounts IS 'An account of a recipient that is followed; the wallet itself is one, for native SOL';

COMMENT ON COLUMN public.token_accounts.cursor_slot IS 'Everything that touched the account in slots before this one is recorded';

COMMENT ON COLUMN public.token_accounts.audited_slot IS 'At this finalized slot the ledger''s balance was the chain''s';

COMMENT ON COLUMN public.token_accounts.drift IS 'Balance on chain less the ledger''s, when they last disagreed; 0 when they agree';

COMMENT ON COLUMN public.token_accounts.gaps IS 'Places where a balance change does not start where the one before ended';

CREATE TABLE public.tokens (
    mint public.address NOT NULL,
    program public.address NOT NULL,
    decimals smallint NOT NULL,
    symbol text,
    network text,
    CONSTRAINT tokens_decimals_check CHECK (((decimals >= 0) AND (decimals <= 255)))
);

COMMENT ON TABLE public.tokens IS 'A mint: its token program, decimals and, where requests may name it, its symbol';

CREATE TABLE public.transactions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id text NOT NULL,
    nonce text NOT NULL,
    signature public.signature NOT NULL,
    path text COLLATE pg_catalog."C",
    payer public.address NOT NULL,
    recipient public.address,
    mint public.address NOT NULL,
    currency text NOT NULL,
    amount public.base_units NOT NULL,
    least_amount public.base_units NOT NULL,
    received public.base_units,
    exact boolean DEFAULT false NOT NULL,
    final_only boolean DEFAULT false NOT NULL,
    resource text,
    agent_id text,
    environment text DEFAULT 'live'::text NOT NULL,
    status public.claim_status DEFAULT 'pending'::public.claim_status NOT NULL,
    code text,
    "timestamp" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    told_at timestamp with time zone,
    honoured_at timestamp with time zone,
    reversed_at timestamp with time zone,
    settled_at timestamp with time zone,
    missing_at_height bigint,
    CONSTRAINT transactions_amount_check CHECK (((amount)::numeric > (0)::numeric)),
    CONSTRAINT transactions_check CHECK ((((least_amount)::numeric > (0)::numeric) AND ((least_amount)::numeric <= (amount)::numeric))),
    CONSTRAINT transactions_check1 CHECK (((status <> ALL (ARRAY['confirmed'::public.claim_status, 'finalized'::public.claim_status, 'reversed'::public.claim_status])) OR ((path IS NOT NULL) AND ((received)::numeric >= (least_amount)::numeric)))),
    CONSTRAINT transactions_check2 CHECK (((status = ANY (ARRAY['failed'::public.claim_status, 'expired'::public.claim_status])) = (code IS NOT NULL))),
    CONSTRAINT transactions_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT transactions_nonce_check CHECK (((char_length(nonce) >= 1) AND (char_length(nonce) <= 256)))
);

COMMENT ON TABLE public.transactions IS 'A claimed payment and its status; it takes at most one transfer, ever';

COMMENT ON COLUMN public.transactions.user_id IS 'The merchant to whom it was paid';

COMMENT ON COLUMN public.transactions.path IS 'With signature: the transfer it took';

COMMENT ON COLUMN public.transactions.recipient IS 'The wallet that was paid; while pending, the one that was named, if any';

COMMENT ON COLUMN public.transactions.amount IS 'What was claimed, in base units';

COMMENT ON COLUMN public.transactions.least_amount IS 'What counts as the amount: a client of doubles rounds down';

COMMENT ON COLUMN public.transactions.received IS 'What the transfer credited, in base units';

COMMENT ON COLUMN public.transactions.exact IS 'More than the amount is refused too';

COMMENT ON COLUMN public.transactions.final_only IS 'Honoured only by a finalized transfer';

COMMENT ON COLUMN public.transactions.told_at IS 'When its payer''s proof was answered with yes, which happens once; null while nobody has asked';

COMMENT ON COLUMN public.transactions.missing_at_height IS 'While pending: the block height at which no node knew its transaction';

CREATE TABLE public.transfers (
    signature public.signature NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    slot bigint NOT NULL,
    block_time timestamp with time zone,
    kind text NOT NULL,
    program public.address NOT NULL,
    mint public.address NOT NULL,
    source public.address,
    destination public.address,
    source_owner public.address,
    destination_owner public.address,
    authority public.address,
    amount public.base_units NOT NULL,
    fee public.base_units DEFAULT 0 NOT NULL,
    reference_keys text[] DEFAULT '{}'::text[] NOT NULL,
    memos text[] DEFAULT '{}'::text[] NOT NULL,
    finality public.finality DEFAULT 'confirmed'::public.finality NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT transfers_check CHECK (((source IS NOT NULL) OR (destination IS NOT NULL))),
    CONSTRAINT transfers_check1 CHECK (((fee)::numeric <= (amount)::numeric)),
    CONSTRAINT transfers_path_check CHECK ((path ~ '^[0-9]+(\.[0-9]+)*$'::text))
);

COMMENT ON TABLE public.transfers IS 'One movement of tokens inside one transaction';

COMMENT ON COLUMN public.transfers.path IS 'The instruction: outer index, inner index, index in a batch, joined by dots';

COMMENT ON COLUMN public.transfers.fee IS 'Withheld by the token program: the destination is credited amount - fee';

CREATE TABLE public.vanished_transactions (
    signature public.signature NOT NULL,
    slot bigint NOT NULL,
    missing_at_height bigint NOT NULL,
    noticed_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.vanished_transactions IS 'Recorded transactions that the cluster does not know any more, until they are dead or land again';

COMMENT ON COLUMN public.vanished_transactions.missing_at_height IS 'The block height at which they were first missed: 150 blocks later their blockhash is dead';

ALTER TABLE ONLY public.agent_services
    ADD CONSTRAINT agent_services_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.agent_services
    ADD CONSTRAINT agent_services_seed_name_key UNIQUE (seed_name);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_key_key UNIQUE (key);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_prefix);

ALTER TABLE ONLY public.backfill_requests
    ADD CONSTRAINT backfill_requests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.balance_changes
    ADD CONSTRAINT balance_changes_pkey PRIMARY KEY (signature, account);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.heartbeats
    ADD CONSTRAINT heartbeats_pkey PRIMARY KEY (role, instance);

ALTER TABLE ONLY public.idempotent_answers
    ADD CONSTRAINT idempotent_answers_pkey PRIMARY KEY (caller, idempotency_key);

ALTER TABLE ONLY public.index_requests
    ADD CONSTRAINT index_requests_pkey PRIMARY KEY (signature);

ALTER TABLE ONLY public.job_fundings
    ADD CONSTRAINT job_fundings_pkey PRIMARY KEY (claim_id);

ALTER TABLE ONLY public.job_requests
    ADD CONSTRAINT job_requests_nonce_key UNIQUE (nonce);

ALTER TABLE ONLY public.job_requests
    ADD CONSTRAINT job_requests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_pkey PRIMARY KEY (nonce);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_reference_key UNIQUE (reference);

ALTER TABLE ONLY public.payout_attempts
    ADD CONSTRAINT payout_attempts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.payout_attempts
    ADD CONSTRAINT payout_attempts_signature_key UNIQUE (signature);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_claim_id_part_key UNIQUE (claim_id, part);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_reference_key UNIQUE (reference);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_settled_signature_settled_path_key UNIQUE (settled_signature, settled_path);

ALTER TABLE ONLY public.ratings
    ADD CONSTRAINT ratings_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.recipients
    ADD CONSTRAINT recipients_pkey PRIMARY KEY (address);

ALTER TABLE ONLY public.reconciliation_runs
    ADD CONSTRAINT reconciliation_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.state_transitions
    ADD CONSTRAINT state_transitions_pkey PRIMARY KEY (machine, from_status, to_status);

ALTER TABLE ONLY public.token_accounts
    ADD CONSTRAINT token_accounts_pkey PRIMARY KEY (address);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_network_symbol_mint_key UNIQUE (network, symbol, mint);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (mint);

ALTER TABLE ONLY public.transactions
    ADD CONSTRAINT transactions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.transfers
    ADD CONSTRAINT transfers_pkey PRIMARY KEY (signature, path);

ALTER TABLE ONLY public.vanished_transactions
    ADD CONSTRAINT vanished_transactions_pkey PRIMARY KEY (signature);

CREATE INDEX agent_services_category_is_active ON public.agent_services USING btree (category, is_active);

CREATE INDEX agent_services_is_active_price_amount ON public.agent_services USING btree (is_active, price_amount);

CREATE INDEX agent_services_is_active_total_earnings ON public.agent_services USING btree (is_active, total_earnings);

CREATE INDEX agent_services_user_id ON public.agent_services USING btree (user_id);

CREATE INDEX api_keys_revoked_expires_at ON public.api_keys USING btree (revoked, expires_at);

CREATE INDEX api_keys_user_id ON public.api_keys USING btree (user_id);

CREATE INDEX api_keys_user_id_revoked ON public.api_keys USING btree (user_id, revoked);

CREATE INDEX backfill_requests_open ON public.backfill_requests USING btree (created_at) WHERE (finished_at IS NULL);

CREATE INDEX balance_changes_account_slot ON public.balance_changes USING btree (account, slot, signature);

CREATE INDEX balance_changes_confirmed_slot ON public.balance_changes USING btree (slot) WHERE (finality = 'confirmed'::public.finality);

CREATE INDEX balance_changes_unexplained ON public.balance_changes USING btree (slot) WHERE (unexplained <> (0)::numeric);

CREATE INDEX events_subject ON public.events USING btree (subject);

CREATE INDEX events_type_at ON public.events USING btree (type, at);

CREATE INDEX events_user_id_at ON public.events USING btree (user_id, at) WHERE (user_id IS NOT NULL);

CREATE INDEX idempotent_answers_created_at ON public.idempotent_answers USING btree (created_at);

CREATE INDEX index_requests_open ON public.index_requests USING btree (next_try_at) WHERE (finished_at IS NULL);

CREATE UNIQUE INDEX job_fundings_escrow ON public.job_fundings USING btree (job_id) WHERE ((escrowed)::numeric > (0)::numeric);

CREATE INDEX job_fundings_job_id ON public.job_fundings USING btree (job_id);

CREATE INDEX job_requests_client_agent_id_status ON public.job_requests USING btree (client_agent_id, status);

CREATE INDEX job_requests_created_at ON public.job_requests USING btree (created_at);

CREATE INDEX job_requests_held ON public.job_requests USING btree (status) WHERE (escrow_status = ANY (ARRAY['escrowed'::public.escrow_status, 'disputed'::public.escrow_status]));

CREATE INDEX job_requests_open ON public.job_requests USING btree (deadline) WHERE (status = ANY (ARRAY['pending'::public.job_status, 'accepted'::public.job_status, 'in_progress'::public.job_status]));

CREATE INDEX job_requests_provider_agent_id_status ON public.job_requests USING btree (provider_agent_id, status);

CREATE INDEX job_requests_service_id_created_at ON public.job_requests USING btree (service_id, created_at);

CREATE INDEX job_requests_status_created_at ON public.job_requests USING btree (status, created_at);

CREATE INDEX nonces_unexpired ON public.nonces USING btree (expires_at) WHERE (expired_at IS NULL);

CREATE INDEX nonces_user_id_created_at ON public.nonces USING btree (user_id, created_at);

CREATE UNIQUE INDEX payout_attempts_living ON public.payout_attempts USING btree (payout_id) WHERE (ended_at IS NULL);

CREATE INDEX payout_attempts_payout_id ON public.payout_attempts USING btree (payout_id);

CREATE INDEX payouts_created_at ON public.payouts USING btree (created_at);

CREATE INDEX payouts_job_id ON public.payouts USING btree (job_id);

CREATE INDEX payouts_open ON public.payouts USING btree (next_try_at) WHERE (status <> 'settled'::public.payout_status);

CREATE INDEX ratings_service_id ON public.ratings USING btree (service_id);

CREATE INDEX ratings_uncounted ON public.ratings USING btree (job_id) WHERE (counted_at IS NULL);

CREATE INDEX recipients_user_id ON public.recipients USING btree (user_id);

CREATE INDEX reconciliation_runs_created_at ON public.reconciliation_runs USING btree (created_at);

CREATE INDEX reconciliation_runs_unfinished ON public.reconciliation_runs USING btree (created_at) WHERE (finished_at IS NULL);

CREATE INDEX token_accounts_heal_wanted ON public.token_accounts USING btree (heal_wanted_at) WHERE (heal_wanted_at IS NOT NULL);

CREATE INDEX token_accounts_in_doubt ON public.token_accounts USING btree (address) WHERE ((drift <> (0)::numeric) OR (gaps > 0));

CREATE INDEX token_accounts_recipient ON public.token_accounts USING btree (recipient);

CREATE INDEX transactions_agent_id_timestamp ON public.transactions USING btree (agent_id, "timestamp");

CREATE UNIQUE INDEX transactions_nonce ON public.transactions USING btree (user_id, nonce) WHERE (status = ANY (ARRAY['confirmed'::public.claim_status, 'finalized'::public.claim_status, 'reversed'::public.claim_status]));

CREATE INDEX transactions_payer_timestamp ON public.transactions USING btree (payer, "timestamp");

CREATE INDEX transactions_pending ON public.transactions USING btree ("timestamp") WHERE (status = 'pending'::public.claim_status);

CREATE INDEX transactions_pending_user ON public.transactions USING btree (user_id) WHERE (status = 'pending'::public.claim_status);

CREATE UNIQUE INDEX transactions_proof ON public.transactions USING btree (user_id, nonce, signature, payer);

CREATE INDEX transactions_recipient_status ON public.transactions USING btree (recipient, status);

CREATE INDEX transactions_timestamp_status ON public.transactions USING btree ("timestamp", status);

CREATE UNIQUE INDEX transactions_transfer ON public.transactions USING btree (signature, path) WHERE (status = ANY (ARRAY['confirmed'::public.claim_status, 'finalized'::public.claim_status, 'reversed'::public.claim_status]));

CREATE INDEX transactions_unsettled ON public.transactions USING btree (signature) WHERE (status = ANY (ARRAY['confirmed'::public.claim_status, 'reversed'::public.claim_status]));

CREATE INDEX transactions_user_id_timestamp ON public.transactions USING btree (user_id, "timestamp");

CREATE INDEX transfers_confirmed_slot ON public.transfers USING btree (slot) WHERE (finality = 'confirmed'::public.finality);

CREATE INDEX transfers_destination_owner_slot ON public.transfers USING btree (destination_owner, slot DESC, signature, path);

CREATE INDEX transfers_memos ON public.transfers USING gin (memos) WHERE (memos <> '{}'::text[]);

CREATE INDEX transfers_reference_keys ON public.transfers USING gin (reference_keys) WHERE (reference_keys <> '{}'::text[]);

CREATE INDEX transfers_source_owner_slot ON public.transfers USING btree (source_owner, slot DESC, signature, path);

CREATE TRIGGER job_requests_escrow_transition BEFORE INSERT OR UPDATE OF escrow_status ON public.job_requests FOR EACH ROW EXECUTE FUNCTION public.check_transition('escrow', 'escrow_status');

CREATE TRIGGER job_requests_transition BEFORE INSERT OR UPDATE OF status ON public.job_requests FOR EACH ROW EXECUTE FUNCTION public.check_transition('job', 'status');

CREATE TRIGGER payouts_transition BEFORE INSERT OR UPDATE OF status ON public.payouts FOR EACH ROW EXECUTE FUNCTION public.check_transition('payout', 'status');

CREATE TRIGGER transactions_transition BEFORE INSERT OR UPDATE OF status ON public.transactions FOR EACH ROW EXECUTE FUNCTION public.check_transition('claim', 'status');

ALTER TABLE ONLY public.agent_services
    ADD CONSTRAINT agent_services_price_mint_fkey FOREIGN KEY (price_mint) REFERENCES public.tokens(mint);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_replaced_by_fkey FOREIGN KEY (replaced_by) REFERENCES public.api_keys(key_prefix);

ALTER TABLE ONLY public.job_fundings
    ADD CONSTRAINT job_fundings_claim_id_fkey FOREIGN KEY (claim_id) REFERENCES public.transactions(id);

ALTER TABLE ONLY public.job_fundings
    ADD CONSTRAINT job_fundings_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job_requests(id);

ALTER TABLE ONLY public.job_requests
    ADD CONSTRAINT job_requests_nonce_fkey FOREIGN KEY (nonce) REFERENCES public.nonces(nonce);

ALTER TABLE ONLY public.job_requests
    ADD CONSTRAINT job_requests_service_id_fkey FOREIGN KEY (service_id) REFERENCES public.agent_services(id);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_recipient_fkey FOREIGN KEY (recipient) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.payout_attempts
    ADD CONSTRAINT payout_attempts_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES public.payouts(id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_claim_id_fkey FOREIGN KEY (claim_id) REFERENCES public.job_fundings(claim_id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job_requests(id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_settled_signature_settled_path_fkey FOREIGN KEY (settled_signature, settled_path) REFERENCES public.transfers(signature, path);

ALTER TABLE ONLY public.ratings
    ADD CONSTRAINT ratings_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job_requests(id);

ALTER TABLE ONLY public.ratings
    ADD CONSTRAINT ratings_service_id_fkey FOREIGN KEY (service_id) REFERENCES public.agent_services(id);

ALTER TABLE ONLY public.token_accounts
    ADD CONSTRAINT token_accounts_recipient_fkey FOREIGN KEY (recipient) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.transactions
    ADD CONSTRAINT transactions_signature_path_fkey FOREIGN KEY (signature, path) REFERENCES public.transfers(signature, path);
