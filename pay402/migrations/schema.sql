-- What the migrations add up to. Written by `pay402 migrate dump`; do not edit.

CREATE DOMAIN public.address AS text COLLATE pg_catalog."C"
	CONSTRAINT address_check CHECK ((((length(VALUE) >= 32) AND (length(VALUE) <= 44)) AND (VALUE !~ '[^1-9A-HJ-NP-Za-km-z]'::text)));

CREATE DOMAIN public.base_units AS numeric(20,0)
	CONSTRAINT base_units_check CHECK (((VALUE >= (0)::numeric) AND (VALUE <= '18446744073709551615'::numeric)));

CREATE TYPE public.finality AS ENUM (
    'confirmed',
    'finalized',
    'orphaned'
);

CREATE DOMAIN public.signature AS text COLLATE pg_catalog."C"
	CONSTRAINT signature_check CHECK ((((length(VALUE) >= 64) AND (length(VALUE) <= 88)) AND (VALUE !~ '[^1-9A-HJ-NP-Za-km-z]'::text)));

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
    data jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE public.events IS 'Append-only: what happened, for analytics and later for webhooks';

ALTER TABLE public.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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

ALTER TABLE ONLY public.balance_changes
    ADD CONSTRAINT balance_changes_pkey PRIMARY KEY (signature, account);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.recipients
    ADD CONSTRAINT recipients_pkey PRIMARY KEY (address);

ALTER TABLE ONLY public.token_accounts
    ADD CONSTRAINT token_accounts_pkey PRIMARY KEY (address);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_network_symbol_mint_key UNIQUE (network, symbol, mint);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (mint);

ALTER TABLE ONLY public.transfers
    ADD CONSTRAINT transfers_pkey PRIMARY KEY (signature, path);

ALTER TABLE ONLY public.vanished_transactions
    ADD CONSTRAINT vanished_transactions_pkey PRIMARY KEY (signature);

CREATE INDEX balance_changes_account_slot ON public.balance_changes USING btree (account, slot, signature);

CREATE INDEX balance_changes_confirmed_slot ON public.balance_changes USING btree (slot) WHERE (finality = 'confirmed'::public.finality);

CREATE INDEX balance_changes_unexplained ON public.balance_changes USING btree (slot) WHERE (unexplained <> (0)::numeric);

CREATE INDEX events_subject ON public.events USING btree (subject);

CREATE INDEX events_type_at ON public.events USING btree (type, at);

CREATE INDEX token_accounts_heal_wanted ON public.token_accounts USING btree (heal_wanted_at) WHERE (heal_wanted_at IS NOT NULL);

CREATE INDEX token_accounts_in_doubt ON public.token_accounts USING btree (address) WHERE ((drift <> (0)::numeric) OR (gaps > 0));

CREATE INDEX token_accounts_recipient ON public.token_accounts USING btree (recipient);

CREATE INDEX transfers_confirmed_slot ON public.transfers USING btree (slot) WHERE (finality = 'confirmed'::public.finality);

CREATE INDEX transfers_destination_owner_slot ON public.transfers USING btree (destination_owner, slot DESC, signature, path);

CREATE INDEX transfers_reference_keys ON public.transfers USING gin (reference_keys) WHERE (reference_keys <> '{}'::text[]);

CREATE INDEX transfers_source_owner_slot ON public.transfers USING btree (source_owner, slot DESC, signature, path);

ALTER TABLE ONLY public.token_accounts
    ADD CONSTRAINT token_accounts_recipient_fkey FOREIGN KEY (recipient) REFERENCES public.recipients(address);
