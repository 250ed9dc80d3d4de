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

CREATE TYPE public.finality AS ENUM (
    'confirmed',
    'finalized',
    'orphaned'
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

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_key_key UNIQUE (key);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_prefix);

ALTER TABLE ONLY public.balance_changes
    ADD CONSTRAINT balance_changes_pkey PRIMARY KEY (signature, account);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.heartbeats
    ADD CONSTRAINT heartbeats_pkey PRIMARY KEY (role, instance);

ALTER TABLE ONLY public.idempotent_answers
    ADD CONSTRAINT idempotent_answers_pkey PRIMARY KEY (caller, idempotency_key);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_pkey PRIMARY KEY (nonce);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_reference_key UNIQUE (reference);

ALTER TABLE ONLY public.recipients
    ADD CONSTRAINT recipients_pkey PRIMARY KEY (address);

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

CREATE INDEX api_keys_revoked_expires_at ON public.api_keys USING btree (revoked, expires_at);

CREATE INDEX api_keys_user_id ON public.api_keys USING btree (user_id);

CREATE INDEX api_keys_user_id_revoked ON public.api_keys USING btree (user_id, revoked);

CREATE INDEX balance_changes_account_slot ON public.balance_changes USING btree (account, slot, signature);

CREATE INDEX balance_changes_confirmed_slot ON public.balance_changes USING btree (slot) WHERE (finality = 'confirmed'::public.finality);

CREATE INDEX balance_changes_unexplained ON public.balance_changes USING btree (slot) WHERE (unexplained <> (0)::numeric);

CREATE INDEX events_subject ON public.events USING btree (subject);

CREATE INDEX events_type_at ON public.events USING btree (type, at);

CREATE INDEX events_user_id_at ON public.events USING btree (user_id, at) WHERE (user_id IS NOT NULL);

CREATE INDEX idempotent_answers_created_at ON public.idempotent_answers USING btree (created_at);

CREATE INDEX nonces_unexpired ON public.nonces USING btree (expires_at) WHERE (expired_at IS NULL);

CREATE INDEX nonces_user_id_created_at ON public.nonces USING btree (user_id, created_at);

CREATE INDEX recipients_user_id ON public.recipients USING btree (user_id);

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

CREATE TRIGGER transactions_transition BEFORE INSERT OR UPDATE OF status ON public.transactions FOR EACH ROW EXECUTE FUNCTION public.check_transition('claim', 'status');

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_replaced_by_fkey FOREIGN KEY (replaced_by) REFERENCES public.api_keys(key_prefix);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_recipient_fkey FOREIGN KEY (recipient) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.token_accounts
    ADD CONSTRAINT token_accounts_recipient_fkey FOREIGN KEY (recipient) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.transactions
    ADD CONSTRAINT transactions_signature_path_fkey FOREIGN KEY (signature, path) REFERENCES public.transfers(signature, path);
