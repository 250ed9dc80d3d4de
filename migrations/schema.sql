-- What the migrations add up to. Written by `pay402 migrate dump`; do not edit.

CREATE SCHEMA analytics;

COMMENT ON SCHEMA analytics IS 'Read-only views for analysts and BI tools; their columns are kept stable';

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

CREATE TYPE public.settlement_status AS ENUM (
    'signed',
    'sent',
    'settled',
    'failed'
);

CREATE DOMAIN public.signature AS text COLLATE pg_catalog."C"
	CONSTRAINT signature_check CHECK ((((length(VALUE) >= 64) AND (length(VALUE) <= 88)) AND (VALUE !~ '[^1-9A-HJ-NP-Za-km-z]'::text)));

CREATE FUNCTION analytics.figure(base_units numeric, decimals smallint) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ((((trunc(base_units))::text || 'e-'::text) || (decimals)::text))::numeric;

COMMENT ON FUNCTION analytics.figure(base_units numeric, decimals smallint) IS 'Base units as people write them, exactly: no division, no rounding';

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

CREATE FUNCTION public.claim_has_ended(status public.claim_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['finalized'::public.claim_status, 'failed'::public.claim_status, 'expired'::public.claim_status]));

COMMENT ON FUNCTION public.claim_has_ended(status public.claim_status) IS 'True for a claim that waits for nothing';

CREATE FUNCTION public.claim_holds_transfer(status public.claim_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['confirmed'::public.claim_status, 'finalized'::public.claim_status, 'reversed'::public.claim_status]));

COMMENT ON FUNCTION public.claim_holds_transfer(status public.claim_status) IS 'True for a claim that has its transfer and has used up its nonce';

CREATE FUNCTION public.claim_is_paid(status public.claim_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['confirmed'::public.claim_status, 'finalized'::public.claim_status]));

COMMENT ON FUNCTION public.claim_is_paid(status public.claim_status) IS 'True for a claim whose transfer stands: it counts as revenue';

CREATE FUNCTION public.claim_is_short(status public.claim_status, code text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((status = 'failed'::public.claim_status) AND (code = 'INSUFFICIENT_AMOUNT'::text));

COMMENT ON FUNCTION public.claim_is_short(status public.claim_status, code text) IS 'True for a claim that was refused because its transfer was too little';

CREATE FUNCTION public.claim_may_move(status public.claim_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['confirmed'::public.claim_status, 'reversed'::public.claim_status]));

COMMENT ON FUNCTION public.claim_may_move(status public.claim_status) IS 'True for a claim that moves with its transfer: it has one that is not final';

CREATE FUNCTION public.count_reports_anew() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  UPDATE report_state SET counted_at = NULL;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.count_reports_anew() IS 'Has the next report count everything from the whole ledger';

CREATE FUNCTION public.kind_is_payment(kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (kind = ANY (ARRAY['transfer'::text, 'transferChecked'::text, 'transferCheckedWithFee'::text, 'nativeTransfer'::text]));

COMMENT ON FUNCTION public.kind_is_payment(kind text) IS 'True for a movement from one account to another, which is what pays';

CREATE FUNCTION public.moves_money(source text, destination text, source_owner text, destination_owner text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((source IS DISTINCT FROM destination) AND ((source_owner IS NULL) OR (source_owner IS DISTINCT FROM destination_owner)));

COMMENT ON FUNCTION public.moves_money(source text, destination text, source_owner text, destination_owner text) IS 'Whether a transfer changes whose money it is; one between two accounts of one owner does not';

CREATE FUNCTION public.credit_kind(kind text, source text, destination text, source_owner text, destination_owner text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (NOT public.kind_is_payment(kind)) THEN kind WHEN public.moves_money(source, destination, source_owner, destination_owner) THEN 'payment'::text ELSE 'internal'::text END;

COMMENT ON FUNCTION public.credit_kind(kind text, source text, destination text, source_owner text, destination_owner text) IS 'As what a report counts a credit: payment, internal between accounts of one owner, or its own kind';

CREATE FUNCTION public.escrow_is_held(status public.escrow_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['escrowed'::public.escrow_status, 'disputed'::public.escrow_status]));

COMMENT ON FUNCTION public.escrow_is_held(status public.escrow_status) IS 'True while the settlement wallet holds the price of the job';

CREATE FUNCTION public.escrow_is_settled(status public.escrow_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['released'::public.escrow_status, 'refunded'::public.escrow_status]));

COMMENT ON FUNCTION public.escrow_is_settled(status public.escrow_status) IS 'True once the price of the job has left the settlement wallet, finalized';

CREATE FUNCTION public.finding_id(line jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN md5((jsonb_build_array((line ->> 'kind'::text), (line ->> 'userId'::text), (line ->> 'signature'::text), (line ->> 'path'::text), (line ->> 'nonce'::text), CASE WHEN (((line ->> 'path'::text) IS NULL) OR ((line ->> 'kind'::text) = ANY (ARRAY['unpaidClaim'::text, 'overPayment'::text]))) THEN (line ->> 'claimId'::text) ELSE NULL::text END, (line ->> 'amountBaseUnits'::text), (line ->> 'expectedBaseUnits'::text)))::text);

COMMENT ON FUNCTION public.finding_id(line jsonb) IS 'The id of a finding in a stored report; another amount makes it another finding';

CREATE FUNCTION public.finding_refundable(line jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (((line ->> 'path'::text) IS NULL) OR ((line ->> 'payer'::text) IS NULL) OR ((line ->> 'kind'::text) = 'unpaidClaim'::text)) THEN (0)::numeric WHEN ((line ->> 'kind'::text) = 'overPayment'::text) THEN (((line ->> 'amountBaseUnits'::text))::numeric - ((line ->> 'expectedBaseUnits'::text))::numeric) ELSE ((line ->> 'amountBaseUnits'::text))::numeric END;

COMMENT ON FUNCTION public.finding_refundable(line jsonb) IS 'What of the transfer of a finding can be given back to its payer, in base units: of too much what is beyond, else all';

CREATE TABLE public.finding_decisions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    finding_id text NOT NULL,
    kind text NOT NULL,
    user_id text NOT NULL,
    signature public.signature,
    path text COLLATE pg_catalog."C",
    action text NOT NULL,
    note text,
    refund_signature public.signature,
    refund_path text COLLATE pg_catalog."C",
    refund_amount public.base_units,
    decided_by text NOT NULL,
    decided_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    withdrawn_by text,
    withdrawn_at timestamp with time zone,
    CONSTRAINT finding_decisions_action_check CHECK ((action = ANY (ARRAY['accepted'::text, 'refunded'::text, 'noted'::text, 'withdrawn'::text]))),
    CONSTRAINT finding_decisions_check CHECK (((action <> 'noted'::text) OR (note IS NOT NULL))),
    CONSTRAINT finding_decisions_check1 CHECK ((((action = ANY (ARRAY['refunded'::text, 'withdrawn'::text])) = (refund_signature IS NOT NULL)) AND ((action = ANY (ARRAY['refunded'::text, 'withdrawn'::text])) = (refund_path IS NOT NULL)) AND ((action = ANY (ARRAY['refunded'::text, 'withdrawn'::text])) = (refund_amount IS NOT NULL)))),
    CONSTRAINT finding_decisions_check2 CHECK (((action <> 'refunded'::text) OR ((signature IS NOT NULL) AND (path IS NOT NULL)))),
    CONSTRAINT finding_decisions_finding_id_check CHECK ((finding_id ~ '^[0-9a-f]{32}$'::text)),
    CONSTRAINT finding_decisions_note_check CHECK (((char_length(note) >= 1) AND (char_length(note) <= 2000))),
    CONSTRAINT finding_decisions_refund_amount_check CHECK (((refund_amount)::numeric > (0)::numeric)),
    CONSTRAINT finding_decisions_withdrawn CHECK ((((action = 'withdrawn'::text) = (withdrawn_by IS NOT NULL)) AND ((action = 'withdrawn'::text) = (withdrawn_at IS NOT NULL))))
);

COMMENT ON TABLE public.finding_decisions IS 'What people decided about a finding of a reconciliation: append-only, but that a refund can be withdrawn';

COMMENT ON COLUMN public.finding_decisions.user_id IS 'The merchant whose finding it is';

COMMENT ON COLUMN public.finding_decisions.signature IS 'With path the transfer that it is about; what gives it back counts for every finding about it';

COMMENT ON COLUMN public.finding_decisions.decided_by IS 'The user whose key decided';

COMMENT ON COLUMN public.finding_decisions.withdrawn_by IS 'The user whose key withdrew the refund, which was noted by mistake';

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
    charged public.base_units DEFAULT 0 NOT NULL,
    rent_lamports bigint DEFAULT 0 NOT NULL,
    asked_at timestamp with time zone,
    charged_lamports bigint DEFAULT 0 NOT NULL,
    CONSTRAINT payouts_amount_check CHECK (((amount)::numeric > (0)::numeric)),
    CONSTRAINT payouts_charged_lamports_check CHECK ((charged_lamports >= 0)),
    CONSTRAINT payouts_check CHECK (((kind = 'refund'::text) OR (part = 'escrow'::text))),
    CONSTRAINT payouts_check1 CHECK (((status = 'settled'::public.payout_status) = ((settled_signature IS NOT NULL) AND (settled_path IS NOT NULL) AND (settled_at IS NOT NULL)))),
    CONSTRAINT payouts_check2 CHECK (((status = 'waiting'::public.payout_status) = (waiting_reason IS NOT NULL))),
    CONSTRAINT payouts_check3 CHECK (((charged)::numeric < (amount)::numeric)),
    CONSTRAINT payouts_check4 CHECK (((rent_lamports = 0) OR ((charged)::numeric > (0)::numeric))),
    CONSTRAINT payouts_kind_check CHECK ((kind = ANY (ARRAY['release'::text, 'refund'::text]))),
    CONSTRAINT payouts_part_check CHECK ((part = ANY (ARRAY['escrow'::text, 'rest'::text]))),
    CONSTRAINT payouts_rent_lamports_check CHECK ((rent_lamports >= 0))
);

COMMENT ON TABLE public.payouts IS 'Money to send, once';

COMMENT ON COLUMN public.payouts.wallet IS 'The settlement wallet that holds it';

COMMENT ON COLUMN public.payouts.amount IS 'What is owed, in base units; what is charged stays, and a token''s own fee is the recipient''s';

COMMENT ON COLUMN public.payouts.reference IS 'A fresh key that every attempt carries: the ledger knows the payout by it';

COMMENT ON COLUMN public.payouts.token_fee IS 'What the token itself took, borne by the recipient';

COMMENT ON COLUMN public.payouts.charged IS 'Kept for what sending costs us, in base units: rent of an account, fees that are not given';

COMMENT ON COLUMN public.payouts.rent_lamports IS 'What the settlement wallet pays for opening that account';

COMMENT ON COLUMN public.payouts.asked_at IS 'When somebody asked for it though it is small, or one of many';

COMMENT ON COLUMN public.payouts.charged_lamports IS 'What is borne by what is charged, in lamports';

CREATE FUNCTION public.finding_decided(line jsonb) RETURNS TABLE(id text, refundable numeric, refunded numeric, state text)
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT n.id,
     n.refundable,
     r.refunded,
         CASE
             WHEN ((n.refundable > (0)::numeric) AND (r.refunded >= n.refundable)) THEN 'refunded'::text
             WHEN ( SELECT true
                FROM public.finding_decisions a
               WHERE ((a.finding_id = n.id) AND (a.action = 'accepted'::text))) THEN 'accepted'::text
             ELSE 'open'::text
         END AS "case"
    FROM (( SELECT public.finding_id(finding_decided.line) AS id,
             public.finding_refundable(finding_decided.line) AS refundable) n
      CROSS JOIN LATERAL ( SELECT (COALESCE(( SELECT sum((d.refund_amount)::numeric) AS sum
                    FROM public.finding_decisions d
                   WHERE ((d.action = 'refunded'::text) AND ((d.signature)::text = (finding_decided.line ->> 'signature'::text)) AND (d.path = (finding_decided.line ->> 'path'::text)))), (0)::numeric) + COALESCE(( SELECT sum((p.amount)::numeric) AS sum
                    FROM public.payouts p
                   WHERE ((p.claim_id = ((finding_decided.line ->> 'claimId'::text))::uuid) AND (p.kind = 'refund'::text) AND (p.status = 'settled'::public.payout_status))), (0)::numeric)) AS refunded) r);
END;

COMMENT ON FUNCTION public.finding_decided(line jsonb) IS 'What was given back of a finding in a report, and what was decided about it';

CREATE FUNCTION public.finding_line(kind text, user_id text, signature text, path text, nonce text, claim_id uuid, payer text, amount numeric, expected numeric) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object('kind', kind, 'userId', user_id, 'signature', signature, 'path', path, 'nonce', nonce, 'claimId', claim_id, 'payer', payer, 'amountBaseUnits', (amount)::text, 'expectedBaseUnits', (expected)::text);

COMMENT ON FUNCTION public.finding_line(kind text, user_id text, signature text, path text, nonce text, claim_id uuid, payer text, amount numeric, expected numeric) IS 'Of a finding what a stored report has of it, as far as decisions depend on it';

CREATE TABLE public.payout_attempts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    payout_id uuid NOT NULL,
    source_account public.address NOT NULL,
    message bytea NOT NULL,
    last_valid_block_height bigint,
    dead_from_slot bigint,
    signature public.signature,
    wire bytea,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    signed_at timestamp with time zone,
    sent_at timestamp with time zone,
    ended_at timestamp with time zone,
    outcome text,
    error text,
    fee_lamports bigint DEFAULT 0 NOT NULL,
    gift_lamports bigint DEFAULT 0 NOT NULL,
    nonce_account public.address,
    nonce_value public.address,
    nonce_slot bigint,
    signed_slot bigint,
    CONSTRAINT payout_attempts_check CHECK ((((signature IS NULL) = (wire IS NULL)) AND ((signature IS NULL) = (signed_at IS NULL)))),
    CONSTRAINT payout_attempts_check1 CHECK (((ended_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT payout_attempts_fee_lamports_check CHECK ((fee_lamports >= 0)),
    CONSTRAINT payout_attempts_gift_lamports_check CHECK ((gift_lamports >= 0)),
    CONSTRAINT payout_attempts_lifetime CHECK ((((nonce_account IS NULL) = (last_valid_block_height IS NOT NULL)) AND ((nonce_account IS NULL) = (nonce_value IS NULL)) AND ((nonce_account IS NULL) = (nonce_slot IS NULL)))),
    CONSTRAINT payout_attempts_outcome_check CHECK ((outcome = ANY (ARRAY['settled'::text, 'expired'::text, 'failed'::text])))
);

COMMENT ON TABLE public.payout_attempts IS 'A transaction made for a payout: its bytes are stored before anybody can broadcast them';

COMMENT ON COLUMN public.payout_attempts.source_account IS 'The account that the tokens leave';

COMMENT ON COLUMN public.payout_attempts.last_valid_block_height IS 'Beyond this height, finalized, it can never land; null where it lives by a nonce';

COMMENT ON COLUMN public.payout_attempts.dead_from_slot IS 'A finalized slot beyond that height, or at which the nonce was advanced: a ledger proven up to here knows its fate';

COMMENT ON COLUMN public.payout_attempts.error IS 'What a node said of it last';

COMMENT ON COLUMN public.payout_attempts.fee_lamports IS 'The network''s fee, paid by the settlement wallet if it lands, failed or not; 0 for attempts older than this column';

COMMENT ON COLUMN public.payout_attempts.gift_lamports IS 'Fees, of attempts that failed before too, that are not taken from the payout';

COMMENT ON COLUMN public.payout_attempts.nonce_account IS 'The nonce account that it advances';

COMMENT ON COLUMN public.payout_attempts.nonce_value IS 'It can land while the nonce account holds this value';

COMMENT ON COLUMN public.payout_attempts.nonce_slot IS 'The finalized slot at which the account was seen to hold it: what older slots show says nothing';

COMMENT ON COLUMN public.payout_attempts.signed_slot IS 'The newest slot that was seen when it was signed; null where it lives by a nonce, or is older than this column';

CREATE FUNCTION public.gift_left_lamports(payee text, payee_lamports_max bigint, day_lamports_max bigint) RETURNS bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (GREATEST((0)::numeric, LEAST(((gift_left_lamports.payee_lamports_max)::numeric - COALESCE(sum(a.gift_lamports) FILTER (WHERE ((p.recipient)::text = gift_left_lamports.payee)), (0)::numeric)), ((gift_left_lamports.day_lamports_max)::numeric - COALESCE(sum(a.gift_lamports), (0)::numeric)))))::bigint AS "greatest"
    FROM (public.payout_attempts a
      JOIN public.payouts p ON ((p.id = a.payout_id)))
   WHERE ((a.gift_lamports > 0) AND (a.created_at > (clock_timestamp() - '1 day'::interval)) AND (a.outcome IS DISTINCT FROM 'expired'::text));
END;

COMMENT ON FUNCTION public.gift_left_lamports(payee text, payee_lamports_max bigint, day_lamports_max bigint) IS 'What of the budgets for the network''s fees is left today for a recipient: of its own and of all together';

CREATE FUNCTION public.job_earns_reputation(client_user_id text, provider_user_id text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (client_user_id <> provider_user_id);

COMMENT ON FUNCTION public.job_earns_reputation(client_user_id text, provider_user_id text) IS 'False for a job between a user and itself, which counts for no total, rating or place of its service';

CREATE FUNCTION public.job_counts(environment text, client_user_id text, provider_user_id text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((environment = 'live'::text) AND public.job_earns_reputation(client_user_id, provider_user_id));

COMMENT ON FUNCTION public.job_counts(environment text, client_user_id text, provider_user_id text) IS 'False for a job of tests, or between a user and itself: it counts for no total, rating or place of its service';

CREATE FUNCTION public.job_has_ended(status public.job_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['approved'::public.job_status, 'cancelled'::public.job_status, 'expired'::public.job_status]));

COMMENT ON FUNCTION public.job_has_ended(status public.job_status) IS 'True for a job whose money may leave: to its provider, or back to its client';

CREATE FUNCTION public.job_is_open(status public.job_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['pending'::public.job_status, 'accepted'::public.job_status, 'in_progress'::public.job_status]));

COMMENT ON FUNCTION public.job_is_open(status public.job_status) IS 'True for a job that is still to be done';

CREATE FUNCTION public.landing_may_move(finality public.finality) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (finality <> ALL (ARRAY['finalized'::public.finality, 'orphaned'::public.finality]));

COMMENT ON FUNCTION public.landing_may_move(finality public.finality) IS 'True for what has landed and can still be finalized or undone';

CREATE FUNCTION public.whole_units(product double precision) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (product < ('9223372036854775808'::numeric)::double precision) THEN ((trunc(product))::bigint)::numeric WHEN (product >= ('18446744073709551616'::numeric)::double precision) THEN '18446744073709551616'::numeric ELSE ('9223372036854775808'::numeric + ((trunc((product - ('9223372036854775808'::numeric)::double precision)))::bigint)::numeric) END;

COMMENT ON FUNCTION public.whole_units(product double precision) IS 'The floor of a product of doubles, exactly';

CREATE FUNCTION public.least_equal_amount(amount numeric, decimals integer) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN GREATEST((1)::numeric, LEAST(amount, public.whole_units((((((amount)::text || 'e-'::text) || decimals))::double precision * (('1e'::text || decimals))::double precision)), CASE WHEN (decimals >= 2) THEN public.whole_units(((((((amount)::text || 'e-'::text) || decimals))::double precision * (100)::double precision) * (('1e'::text || (decimals - 2)))::double precision)) ELSE NULL::numeric END));

COMMENT ON FUNCTION public.least_equal_amount(amount numeric, decimals integer) IS 'What counts as an amount in base units: a client that computes in doubles rounds it down';

CREATE FUNCTION public.leave_what_was_given_back() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND claim_holds_transfer(OLD.status) THEN
    RETURN NEW;
  END IF;
  IF transfer_pays_nothing(NEW.signature, NEW.path) THEN
    RETURN NULL;
  END IF;
  RETURN NEW;
END
$$;

COMMENT ON FUNCTION public.leave_what_was_given_back() IS 'Leaves out a claim that would take a transfer that was given back, or that gave another back';

CREATE FUNCTION public.mint_counts_as(paid text, asked text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((paid = asked) OR ((asked = '11111111111111111111111111111111'::text) AND (paid = 'So11111111111111111111111111111111111111112'::text)));

COMMENT ON FUNCTION public.mint_counts_as(paid text, asked text) IS 'True for a payment in one mint that counts as one in the mint that was asked for';

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
    is_full boolean DEFAULT false NOT NULL,
    CONSTRAINT reconciliation_runs_check CHECK (((status = 'done'::text) = (report IS NOT NULL))),
    CONSTRAINT reconciliation_runs_check1 CHECK (((status = ANY (ARRAY['done'::text, 'failed'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT reconciliation_runs_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text, 'failed'::text])))
);

COMMENT ON TABLE public.reconciliation_runs IS 'One reconciliation, asked for or routine, and its report';

COMMENT ON COLUMN public.reconciliation_runs.is_full IS 'What is kept for reports is to be counted anew from the whole ledger, and compared';

CREATE FUNCTION public.newest_findings(of_user text, of_kind text) RETURNS TABLE(id text, kind text, line jsonb, refundable numeric, refunded numeric, state text)
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT d.id,
     k.kind,
     l.line,
     d.refundable,
     d.refunded,
     d.state
    FROM (((( SELECT q.report
            FROM public.reconciliation_runs q
           WHERE (q.status = 'done'::text)
           ORDER BY q.finished_at DESC
          LIMIT 1) newest
      CROSS JOIN LATERAL jsonb_each((newest.report -> 'findings'::text)) k(kind, lines))
      CROSS JOIN LATERAL jsonb_array_elements(k.lines) l(line))
      CROSS JOIN LATERAL public.finding_decided(l.line) d(id, refundable, refunded, state))
   WHERE (((newest_findings.of_kind IS NULL) OR (k.kind = newest_findings.of_kind)) AND ((newest_findings.of_user IS NULL) OR ((l.line ->> 'userId'::text) = newest_findings.of_user)));
END;

COMMENT ON FUNCTION public.newest_findings(of_user text, of_kind text) IS 'Findings of the newest report, of a user and a kind or of all, with what was given back and decided';

CREATE FUNCTION public.note_changed_credit() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP <> 'INSERT' AND OLD.destination_owner IS NOT NULL
    AND transfer_counts(OLD.finality, OLD.awaits_witness_since) THEN
    INSERT INTO report_credit_changes (recipient, mint, kind, transfers, credited, signatures)
    VALUES (
      OLD.destination_owner, OLD.mint,
      credit_kind(OLD.kind, OLD.source, OLD.destination, OLD.source_owner, OLD.destination_owner),
      -1, OLD.fee - OLD.amount, ARRAY[OLD.signature::text]
    );
  END IF;
  IF TG_OP <> 'DELETE' AND NEW.destination_owner IS NOT NULL
    AND transfer_counts(NEW.finality, NEW.awaits_witness_since) THEN
    INSERT INTO report_credit_changes (recipient, mint, kind, transfers, credited, signatures)
    VALUES (
      NEW.destination_owner, NEW.mint,
      credit_kind(NEW.kind, NEW.source, NEW.destination, NEW.source_owner, NEW.destination_owner),
      1, NEW.amount - NEW.fee, ARRAY[NEW.signature::text]
    );
  END IF;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.note_changed_credit() IS 'Notes for reports that a transfer credits something else than before';

CREATE FUNCTION public.note_changed_request() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO report_request_changes (nonces, reference_keys)
  VALUES (ARRAY[OLD.nonce, NEW.nonce], ARRAY[OLD.reference::text, NEW.reference::text]);
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.note_changed_request() IS 'Notes for reports that a payment request asks for something else than before';

CREATE FUNCTION public.note_claim_changes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO claim_changes (day, user_id, agent_id, mint, environment, claims, received, last_at)
    SELECT ("timestamp" AT TIME ZONE 'UTC')::date, user_id, agent_id, mint, environment,
      count(*), sum(received), max("timestamp")
    FROM now_there
    WHERE status IN ('confirmed', 'finalized')
    GROUP BY 1, 2, 3, 4, 5;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO claim_changes (day, user_id, agent_id, mint, environment, claims, received, last_at)
    SELECT ("timestamp" AT TIME ZONE 'UTC')::date, user_id, agent_id, mint, environment,
      sum(sign), sum(sign * received), max("timestamp")
    FROM (
      SELECT 1 AS sign, "timestamp", user_id, agent_id, mint, environment, status, received FROM now_there
      UNION ALL
      SELECT -1, "timestamp", user_id, agent_id, mint, environment, status, received FROM there_before
    ) AS c
    WHERE status IN ('confirmed', 'finalized')
    GROUP BY 1, 2, 3, 4, 5
    HAVING sum(sign) <> 0 OR sum(sign * received) <> 0;
  ELSE
    INSERT INTO claim_changes (day, user_id, agent_id, mint, environment, claims, received, last_at)
    SELECT ("timestamp" AT TIME ZONE 'UTC')::date, user_id, agent_id, mint, environment,
      -count(*), -sum(received), max("timestamp")
    FROM there_before
    WHERE status IN ('confirmed', 'finalized')
    GROUP BY 1, 2, 3, 4, 5;
  END IF;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.note_claim_changes() IS 'Notes what a statement changed about the totals of honoured claims';

CREATE FUNCTION public.note_claims_for_reports() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO report_claim_changes (
      user_id, mint, status, claims, claimed, received, short, overpaid, signatures, nonces
    )
    SELECT user_id, mint, status, count(*), sum(amount), coalesce(sum(received), 0),
      count(*) FILTER (WHERE claim_is_short(status, code)),
      count(*) FILTER (WHERE claim_is_paid(status) AND received > amount),
      array_agg(signature::text) FILTER (WHERE claim_holds_transfer(status)),
      array_agg(nonce) FILTER (WHERE claim_holds_transfer(status))
    FROM now_there
    GROUP BY 1, 2, 3;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO report_claim_changes (
      user_id, mint, status, claims, claimed, received, short, overpaid, signatures, nonces
    )
    SELECT user_id, mint, status, sum(sign), sum(sign * amount), coalesce(sum(sign * received), 0),
      coalesce(sum(sign) FILTER (WHERE claim_is_short(status, code)), 0),
      coalesce(sum(sign) FILTER (WHERE claim_is_paid(status) AND received > amount), 0),
      array_agg(signature::text) FILTER (WHERE claim_holds_transfer(status) AND NOT holds_the_same),
      array_agg(nonce) FILTER (WHERE claim_holds_transfer(status) AND NOT holds_the_same)
    FROM (
      SELECT v.*, o.id IS NOT NULL AND n.id IS NOT NULL
        AND claim_holds_transfer(o.status) AND claim_holds_transfer(n.status)
        AND o.signature = n.signature AND o.path = n.path AND o.nonce = n.nonce AND o.user_id = n.user_id
        AS holds_the_same
      FROM there_before AS o
      FULL JOIN now_there AS n ON n.id = o.id
      CROSS JOIN LATERAL (
        VALUES
          (-1, o.id, o.user_id, o.mint, o.status, o.amount, o.received, o.code, o.signature, o.nonce),
          (1, n.id, n.user_id, n.mint, n.status, n.amount, n.received, n.code, n.signature, n.nonce)
      ) AS v (sign, id, user_id, mint, status, amount, received, code, signature, nonce)
      WHERE v.id IS NOT NULL
        AND (o.user_id, o.mint, o.status, o.amount, o.received, o.code, o.signature, o.path, o.nonce)
          IS DISTINCT FROM (n.user_id, n.mint, n.status, n.amount, n.received, n.code, n.signature, n.path, n.nonce)
    ) AS c
    GROUP BY 1, 2, 3;
  ELSE
    INSERT INTO report_claim_changes (
      user_id, mint, status, claims, claimed, received, short, overpaid, signatures, nonces
    )
    SELECT user_id, mint, status, -count(*), -sum(amount), -coalesce(sum(received), 0),
      -count(*) FILTER (WHERE claim_is_short(status, code)),
      -count(*) FILTER (WHERE claim_is_paid(status) AND received > amount),
      array_agg(signature::text) FILTER (WHERE claim_holds_transfer(status)),
      array_agg(nonce) FILTER (WHERE claim_holds_transfer(status))
    FROM there_before
    GROUP BY 1, 2, 3;
  END IF;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.note_claims_for_reports() IS 'Notes for reports what a statement changed about claims';

CREATE FUNCTION public.note_new_credits() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO report_credit_changes (recipient, mint, kind, transfers, credited, slots)
  SELECT destination_owner, mint, credit_kind(kind, source, destination, source_owner, destination_owner),
    count(*), sum(amount - fee), array_agg(slot)
  FROM now_there
  WHERE destination_owner IS NOT NULL AND transfer_counts(finality, awaits_witness_since)
  GROUP BY 1, 2, 3;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.note_new_credits() IS 'Notes for reports what new transfers credited';

CREATE FUNCTION public.note_recipient_for_reports() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO report_recipient_changes (recipient) VALUES (OLD.address);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO report_recipient_changes (recipient) VALUES (NEW.address);
  END IF;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.note_recipient_for_reports() IS 'Notes for reports that a wallet is a recipient, is none any more, or is another user''s';

CREATE FUNCTION public.note_requests_for_reports() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO report_request_changes (nonces, reference_keys)
  SELECT array_agg(nonce), array_agg(reference::text) FROM touched HAVING count(*) > 0;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.note_requests_for_reports() IS 'Notes for reports which payment requests were made or removed';

CREATE FUNCTION public.paid_at(block_time timestamp with time zone, notified_at timestamp with time zone, recorded_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
  SELECT CASE
    WHEN block_time >= notified_at - interval '5 minutes' THEN least(block_time, notified_at, recorded_at)
    WHEN notified_at IS NOT NULL THEN least(notified_at, recorded_at)
    ELSE least(block_time, recorded_at)
  END
$$;

COMMENT ON FUNCTION public.paid_at(block_time timestamp with time zone, notified_at timestamp with time zone, recorded_at timestamp with time zone) IS 'When a transfer was paid: by its block where that can be, else when we were told of it';

CREATE FUNCTION public.payout_is_open(status public.payout_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status <> 'settled'::public.payout_status);

COMMENT ON FUNCTION public.payout_is_open(status public.payout_status) IS 'True for a payout that has not reached its recipient, finalized';

CREATE FUNCTION public.payout_is_unsigned(status public.payout_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['queued'::public.payout_status, 'waiting'::public.payout_status, 'awaiting_signature'::public.payout_status]));

COMMENT ON FUNCTION public.payout_is_unsigned(status public.payout_status) IS 'True for a payout of which nobody can have seen signed bytes';

CREATE FUNCTION public.payout_may_land(status public.payout_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['signed'::public.payout_status, 'sent'::public.payout_status]));

COMMENT ON FUNCTION public.payout_may_land(status public.payout_status) IS 'True for a payout whose signed bytes exist, and have not been seen to land';

CREATE FUNCTION public.settlement_is_open(status public.settlement_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (status = ANY (ARRAY['signed'::public.settlement_status, 'sent'::public.settlement_status]));

COMMENT ON FUNCTION public.settlement_is_open(status public.settlement_status) IS 'True for a settlement whose transaction may still land';

CREATE FUNCTION public.shown_finality(finality public.finality, awaits_witness_since timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((finality = 'orphaned'::public.finality) OR (awaits_witness_since IS NULL)) THEN (finality)::text ELSE 'pending'::text END;

COMMENT ON FUNCTION public.shown_finality(finality public.finality, awaits_witness_since timestamp with time zone) IS 'A transfer''s finality as it is shown: pending while too few nodes have seen it';

CREATE FUNCTION public.transfer_counts(finality public.finality, awaits_witness_since timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((finality <> 'orphaned'::public.finality) AND (awaits_witness_since IS NULL));

COMMENT ON FUNCTION public.transfer_counts(finality public.finality, awaits_witness_since timestamp with time zone) IS 'True for a transfer that may honour a claim: no fork has undone it, and enough nodes have seen it';

CREATE FUNCTION public.transfer_pays_nothing(of_signature text, of_path text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((EXISTS ( SELECT
            FROM public.finding_decisions d
           WHERE ((d.action = 'refunded'::text) AND ((d.signature)::text = transfer_pays_nothing.of_signature) AND (d.path = transfer_pays_nothing.of_path)))) OR (EXISTS ( SELECT
            FROM public.finding_decisions d
           WHERE ((d.action = 'refunded'::text) AND ((d.refund_signature)::text = transfer_pays_nothing.of_signature) AND (d.refund_path = transfer_pays_nothing.of_path)))));
END;

COMMENT ON FUNCTION public.transfer_pays_nothing(of_signature text, of_path text) IS 'True for a transfer that was given back, whole or in part, and for one that gave another back';

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
    reference public.address NOT NULL,
    settlement_wallet public.address NOT NULL,
    settlement_user_id text NOT NULL,
    environment text NOT NULL,
    fund_until timestamp with time zone NOT NULL,
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
    CONSTRAINT job_requests_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT job_requests_price_amount_check CHECK (((price_amount)::numeric > (0)::numeric)),
    CONSTRAINT job_requests_resolution_check CHECK ((resolution = ANY (ARRAY['release'::text, 'refund'::text])))
);

COMMENT ON TABLE public.job_requests IS 'A service ordered: who does what for whom by when, and where the money is';

COMMENT ON COLUMN public.job_requests.payout_address IS 'Where the release goes: the service''s at the time of the order';

COMMENT ON COLUMN public.job_requests.nonce IS 'The payment request that funds it; its terms stand here too, so that a request that expired can be deleted';

COMMENT ON COLUMN public.job_requests.settlement_user_id IS 'Whose wallet the settlement wallet is: the merchant of its claims';

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
    proof_version smallint DEFAULT 1 NOT NULL,
    final_only boolean DEFAULT false NOT NULL,
    CONSTRAINT nonces_amount_check CHECK (((amount)::numeric > (0)::numeric)),
    CONSTRAINT nonces_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT nonces_nonce_check CHECK (((char_length(nonce) >= 1) AND (char_length(nonce) <= 256))),
    CONSTRAINT nonces_proof_version_check CHECK ((proof_version = ANY (ARRAY[1, 2]))),
    CONSTRAINT nonces_scheme_check CHECK ((scheme = ANY (ARRAY['exact'::text, 'minimum'::text])))
);

COMMENT ON TABLE public.nonces IS 'A payment request: what is to be paid, to whom, until when';

COMMENT ON COLUMN public.nonces.reference IS 'A fresh key that a transfer can carry, so that it is matched without a claim';

COMMENT ON COLUMN public.nonces.expired_at IS 'When the worker noticed that it had expired unpaid';

COMMENT ON COLUMN public.nonces.proof_version IS 'Which proofs are accepted: 1 all, 2 those that sign recipient and transaction too';

COMMENT ON COLUMN public.nonces.final_only IS 'Paid by a finalized transfer only, however it is matched';

CREATE TABLE public.settlements (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    message_hash bytea NOT NULL,
    user_id text NOT NULL,
    environment text NOT NULL,
    protocol_version smallint NOT NULL,
    network text NOT NULL,
    payer public.address NOT NULL,
    fee_payer public.address NOT NULL,
    pay_to public.address NOT NULL,
    mint public.address NOT NULL,
    destination public.address NOT NULL,
    amount public.base_units NOT NULL,
    memo text,
    request_nonce text,
    resource text,
    final_only boolean DEFAULT false NOT NULL,
    signature public.signature NOT NULL,
    wire bytea,
    last_valid_block_height bigint NOT NULL,
    payment_identifier text,
    payload_hash bytea NOT NULL,
    lamports_reserved bigint NOT NULL,
    lamports_spent bigint,
    status public.settlement_status DEFAULT 'signed'::public.settlement_status NOT NULL,
    reason text,
    detail text,
    claim_id uuid,
    slot bigint,
    answering_since timestamp with time zone,
    answered_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    sent_at timestamp with time zone,
    decided_at timestamp with time zone,
    signed_slot bigint,
    CONSTRAINT settlements_amount_check CHECK (((amount)::numeric > (0)::numeric)),
    CONSTRAINT settlements_check CHECK (((lamports_spent >= 0) AND (lamports_spent <= lamports_reserved))),
    CONSTRAINT settlements_check1 CHECK (((payer)::text <> (fee_payer)::text)),
    CONSTRAINT settlements_check2 CHECK (((wire IS NOT NULL) OR (NOT public.settlement_is_open(status)))),
    CONSTRAINT settlements_check3 CHECK (((status = 'failed'::public.settlement_status) = (reason IS NOT NULL))),
    CONSTRAINT settlements_check4 CHECK (((status <> 'settled'::public.settlement_status) OR ((claim_id IS NOT NULL) AND (slot IS NOT NULL)))),
    CONSTRAINT settlements_check5 CHECK ((public.settlement_is_open(status) = (decided_at IS NULL))),
    CONSTRAINT settlements_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT settlements_lamports_reserved_check CHECK ((lamports_reserved > 0)),
    CONSTRAINT settlements_message_hash_check CHECK ((octet_length(message_hash) = 32)),
    CONSTRAINT settlements_payload_hash_check CHECK ((octet_length(payload_hash) = 32)),
    CONSTRAINT settlements_payment_identifier_check CHECK ((payment_identifier ~ '^[A-Za-z0-9_-]{16,128}$'::text)),
    CONSTRAINT settlements_protocol_version_check CHECK ((protocol_version = ANY (ARRAY[1, 2]))),
    CONSTRAINT settlements_resource_check CHECK ((char_length(resource) <= 2048))
);

COMMENT ON TABLE public.settlements IS 'A payment over x402 that a fee payer of ours has signed: stored before anybody can broadcast it';

COMMENT ON COLUMN public.settlements.message_hash IS 'SHA-256 of the transaction''s message, which is what the payer has signed';

COMMENT ON COLUMN public.settlements.user_id IS 'The merchant to whom it is paid';

COMMENT ON COLUMN public.settlements.payer IS 'The authority of the transfer';

COMMENT ON COLUMN public.settlements.request_nonce IS 'The payment request that its memo names';

COMMENT ON COLUMN public.settlements.final_only IS 'Settled only by a finalized transfer';

COMMENT ON COLUMN public.settlements.wire IS 'The signed bytes; removed some time after the verdict';

COMMENT ON COLUMN public.settlements.last_valid_block_height IS 'Beyond this height, finalized, it can never land';

COMMENT ON COLUMN public.settlements.payload_hash IS 'SHA-256 of what was asked: a payment identifier is bound to it';

COMMENT ON COLUMN public.settlements.lamports_reserved IS 'The most that its fee can be, counted against the budgets of its day';

COMMENT ON COLUMN public.settlements.lamports_spent IS 'Its fee, once it has landed, well or badly; 0 where it never did';

COMMENT ON COLUMN public.settlements.claim_id IS 'The claim that holds its transfer';

COMMENT ON COLUMN public.settlements.answering_since IS 'When a process set out to answer that it is settled';

COMMENT ON COLUMN public.settlements.answered_at IS 'When that answer had gone out, or its transfer had honoured another claim: it is not given again';

COMMENT ON COLUMN public.settlements.signed_slot IS 'The newest slot that was seen when it was signed; null where it is older than this column';

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
    answered_at timestamp with time zone,
    asked_with text,
    honoured_at timestamp with time zone,
    reversed_at timestamp with time zone,
    settled_at timestamp with time zone,
    missing_at_height bigint,
    for_request boolean DEFAULT false NOT NULL,
    claimed_from smallint,
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

COMMENT ON COLUMN public.transactions.answered_at IS 'When a proof of this claim was answered with yes, which happens once; null while nobody has asked';

COMMENT ON COLUMN public.transactions.asked_with IS 'Hash of the Idempotency-Key, and its caller, of the request that was answered yes: it may be answered again';

COMMENT ON COLUMN public.transactions.missing_at_height IS 'While pending: the block height at which no node knew its transaction';

COMMENT ON COLUMN public.transactions.for_request IS 'Its nonce is that of a payment request of this merchant''s';

COMMENT ON COLUMN public.transactions.claimed_from IS 'From which client it was claimed without a key, in 16 bits of a hash: enough to share fairly, too few to know anybody by; null for whoever had a key';

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
    notified_at timestamp with time zone,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    lock_only boolean GENERATED ALWAYS AS (NULL::boolean) STORED,
    awaits_witness_since timestamp with time zone,
    contested_at timestamp with time zone,
    CONSTRAINT transfers_check CHECK (((source IS NOT NULL) OR (destination IS NOT NULL))),
    CONSTRAINT transfers_check1 CHECK (((fee)::numeric <= (amount)::numeric)),
    CONSTRAINT transfers_contested_awaits_witness CHECK (((contested_at IS NULL) OR (awaits_witness_since IS NOT NULL))),
    CONSTRAINT transfers_path_check CHECK ((path ~ '^[0-9]+(\.[0-9]+)*$'::text))
);

COMMENT ON TABLE public.transfers IS 'One movement of tokens inside one transaction';

COMMENT ON COLUMN public.transfers.path IS 'The instruction: outer index, inner index, index in a batch, joined by dots';

COMMENT ON COLUMN public.transfers.block_time IS 'The node''s estimate, which may be wrong: `paid_at` says when it was paid';

COMMENT ON COLUMN public.transfers.fee IS 'Withheld by the token program: the destination is credited amount - fee';

COMMENT ON COLUMN public.transfers.notified_at IS 'When a node told of it, by our clock; null where it was found afterwards';

COMMENT ON COLUMN public.transfers.lock_only IS 'Always null: the right to update it is the right to lock the row, and no more';

COMMENT ON COLUMN public.transfers.awaits_witness_since IS 'Set while too few nodes have seen it to be honoured';

COMMENT ON COLUMN public.transfers.contested_at IS 'When another node that had seen its slot did not know it, or contradicted it';

CREATE FUNCTION public.transfers_back(paid_signature text, paid_path text) RETURNS TABLE(signature text, path text, amount numeric, slot bigint, finality public.finality)
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT t.signature,
     t.path,
     t.amount,
     t.slot,
     t.finality
    FROM (public.transfers p
      JOIN public.transfers t ON ((((t.source_owner)::text = (p.destination_owner)::text) AND ((t.destination_owner)::text = (p.source_owner)::text) AND (t.slot >= p.slot) AND public.mint_counts_as((t.mint)::text, (p.mint)::text))))
   WHERE (((p.signature)::text = transfers_back.paid_signature) AND (p.path = transfers_back.paid_path) AND ((t.signature)::text <> (p.signature)::text) AND (t.finality <> 'orphaned'::public.finality) AND public.kind_is_payment(t.kind) AND (NOT (EXISTS ( SELECT
            FROM public.transactions c
           WHERE (((c.signature)::text = (t.signature)::text) AND (c.path = t.path) AND public.claim_holds_transfer(c.status))))) AND (NOT (EXISTS ( SELECT
            FROM public.settlements s
           WHERE ((s.signature)::text = (t.signature)::text)))) AND (NOT (EXISTS ( SELECT
            FROM public.payouts o
           WHERE (((o.settled_signature)::text = (t.signature)::text) AND (o.settled_path = t.path))))) AND (NOT (EXISTS ( SELECT
            FROM public.finding_decisions d
           WHERE (((d.refund_signature)::text = (t.signature)::text) AND (d.refund_path = t.path) AND (d.action = 'refunded'::text))))) AND (((t.reference_keys = '{}'::text[]) AND (t.memos = '{}'::text[])) OR (NOT (EXISTS ( SELECT
            FROM public.nonces n
           WHERE (((n.reference)::text = ANY (t.reference_keys)) AND ((n.recipient)::text = (t.destination_owner)::text))
         UNION ALL
          SELECT
            FROM public.nonces n
           WHERE ((n.nonce = ANY (t.memos)) AND ((n.recipient)::text = (t.destination_owner)::text))
         UNION ALL
          SELECT
            FROM public.job_requests j
           WHERE (((j.reference)::text = ANY (t.reference_keys)) AND ((j.settlement_wallet)::text = (t.destination_owner)::text))
         UNION ALL
          SELECT
            FROM public.job_requests j
           WHERE ((j.nonce = ANY (t.memos)) AND ((j.settlement_wallet)::text = (t.destination_owner)::text)))))));
END;

COMMENT ON FUNCTION public.transfers_back(paid_signature text, paid_path text) IS 'Transfers by which the wallet that a transfer paid may have given it back: later, of the same token, to its payer, and for nothing else that is known';

CREATE TABLE public.former_recipients (
    address public.address NOT NULL,
    user_id text NOT NULL,
    owned_since timestamp with time zone,
    owned_until timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.former_recipients IS 'Whose a wallet was before: what was paid to it then stays theirs to see';

CREATE TABLE public.recipients (
    address public.address NOT NULL,
    user_id text NOT NULL,
    label text,
    followed_from_slot bigint NOT NULL,
    active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    removed_at timestamp with time zone,
    environment text DEFAULT 'live'::text NOT NULL,
    owned_since timestamp with time zone,
    CONSTRAINT recipients_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT recipients_followed_from_slot_check CHECK ((followed_from_slot >= 0))
);

COMMENT ON TABLE public.recipients IS 'A wallet that is paid, and the user it belongs to';

COMMENT ON COLUMN public.recipients.followed_from_slot IS 'The ledger holds every transaction from this slot on; 0 means from genesis. One that the chain has not reached is corrected';

COMMENT ON COLUMN public.recipients.environment IS 'Of the key that registered it: a test key changes no live wallet';

COMMENT ON COLUMN public.recipients.owned_since IS 'Payments from then on are its user''s; null for the first user, whose all earlier ones are too';

CREATE FUNCTION public.wallet_user_at(wallet text, paid timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT COALESCE(( SELECT f.user_id
            FROM public.former_recipients f
           WHERE (((f.address)::text = wallet_user_at.wallet) AND (wallet_user_at.paid < f.owned_until) AND ((f.owned_since IS NULL) OR (wallet_user_at.paid >= f.owned_since)))
          LIMIT 1), ( SELECT r.user_id
            FROM public.recipients r
           WHERE ((r.address)::text = wallet_user_at.wallet))) AS "coalesce";
END;

COMMENT ON FUNCTION public.wallet_user_at(wallet text, paid timestamp with time zone) IS 'Whose a wallet was when it was paid; the present user''s where nobody had it then';

CREATE FUNCTION public.wallet_was_of(wallet text, of_user text, paid timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((EXISTS ( SELECT
            FROM public.recipients r
           WHERE (((r.address)::text = wallet_was_of.wallet) AND (r.user_id = wallet_was_of.of_user) AND ((r.owned_since IS NULL) OR (wallet_was_of.paid >= r.owned_since)) AND (r.active OR (wallet_was_of.paid < r.removed_at))))) OR (EXISTS ( SELECT
            FROM public.former_recipients f
           WHERE (((f.address)::text = wallet_was_of.wallet) AND (f.user_id = wallet_was_of.of_user) AND ((f.owned_since IS NULL) OR (wallet_was_of.paid >= f.owned_since)) AND (wallet_was_of.paid < f.owned_until)))));
END;

COMMENT ON FUNCTION public.wallet_was_of(wallet text, of_user text, paid timestamp with time zone) IS 'True for a wallet that was followed for a user when it was paid';

CREATE TABLE public.tokens (
    mint public.address NOT NULL,
    program public.address NOT NULL,
    decimals smallint NOT NULL,
    symbol text,
    network text,
    CONSTRAINT tokens_decimals_check CHECK (((decimals >= 0) AND (decimals <= 255)))
);

COMMENT ON TABLE public.tokens IS 'A mint: its token program, decimals and, where requests may name it, its symbol';

CREATE VIEW analytics.claims AS
 SELECT c.id,
    c.user_id,
    c.agent_id,
    c.nonce,
    c.signature,
    c.path,
    c.payer,
    c.recipient,
    c.mint,
    c.currency AS symbol,
    analytics.figure((c.amount)::numeric, k.decimals) AS amount,
    analytics.figure((c.received)::numeric, k.decimals) AS received,
    (c.amount)::numeric AS amount_base_units,
    (c.received)::numeric AS received_base_units,
    c.resource,
    c.environment,
    (c.status)::text AS status,
    c.code,
    c."timestamp" AS claimed_at,
    c.honoured_at,
    c.reversed_at,
    c.settled_at
   FROM (public.transactions c
     LEFT JOIN public.tokens k ON (((k.mint)::text = (c.mint)::text)));

COMMENT ON VIEW analytics.claims IS 'Every claimed payment and what was made of it; confirmed and finalized ones are revenue';

COMMENT ON COLUMN analytics.claims.amount IS 'What was claimed, in units of the token';

COMMENT ON COLUMN analytics.claims.received IS 'What its transfer credited; more than the amount is an overpayment';

COMMENT ON COLUMN analytics.claims.code IS 'Why it came to nothing';

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

CREATE VIEW analytics.events AS
 SELECT id,
    at,
    type,
    subject,
    user_id,
    agent_id,
    data
   FROM public.events;

COMMENT ON VIEW analytics.events IS 'What happened, in order; append-only';

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
    environment text DEFAULT 'live'::text NOT NULL,
    CONSTRAINT agent_services_category_check CHECK ((category = ANY (ARRAY['ai'::text, 'data'::text, 'development'::text, 'automation'::text, 'analytics'::text]))),
    CONSTRAINT agent_services_check CHECK (((successful_jobs >= 0) AND (successful_jobs <= total_jobs))),
    CONSTRAINT agent_services_check1 CHECK (((rating_sum >= rating_count) AND (rating_sum <= (5 * rating_count)))),
    CONSTRAINT agent_services_description_check CHECK ((char_length(description) <= 5000)),
    CONSTRAINT agent_services_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
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

COMMENT ON COLUMN public.agent_services.environment IS 'Of the key that offered it: a test key changes no live service';

CREATE VIEW analytics.jobs AS
 SELECT j.id,
    j.service_id,
    s.name AS service,
    j.client_user_id,
    j.client_agent_id,
    j.provider_user_id,
    j.provider_agent_id,
    j.price_currency AS symbol,
    analytics.figure((j.price_amount)::numeric, k.decimals) AS price,
    (j.price_amount)::numeric AS price_base_units,
    (j.status)::text AS status,
    (j.escrow_status)::text AS escrow_status,
    j.deadline,
    j.created_at,
    j.accepted_at,
    j.escrowed_at,
    j.completed_at,
    j.ended_at,
    j.settled_at
   FROM ((public.job_requests j
     JOIN public.agent_services s ON ((s.id = j.service_id)))
     LEFT JOIN public.tokens k ON (((k.mint)::text = (j.price_mint)::text)));

COMMENT ON VIEW analytics.jobs IS 'Jobs of the marketplace and where their money is; what was ordered and delivered stays private';

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
    lost_slot bigint,
    returned_slot bigint,
    CONSTRAINT token_accounts_gaps_check CHECK ((gaps >= 0))
);

COMMENT ON TABLE public.token_accounts IS 'An account of a recipient that is followed; the wallet itself is one, for native SOL';

COMMENT ON COLUMN public.token_accounts.cursor_slot IS 'Everything that touched the account in slots before this one is recorded';

COMMENT ON COLUMN public.token_accounts.audited_slot IS 'At this finalized slot the ledger''s balance was the chain''s';

COMMENT ON COLUMN public.token_accounts.drift IS 'Balance on chain less the ledger''s, when they last disagreed; 0 when they agree';

COMMENT ON COLUMN public.token_accounts.gaps IS 'Places where a balance change does not start where the one before ended';

COMMENT ON COLUMN public.token_accounts.lost_slot IS 'A finalized slot at which it belonged to somebody else; it is not followed';

COMMENT ON COLUMN public.token_accounts.returned_slot IS 'The last slot at which it was known to be somebody else''s before it came back: its proof begins after it';

CREATE VIEW analytics.ledger_health AS
 SELECT a.address AS account,
    a.recipient AS wallet,
    r.user_id,
    COALESCE(k.symbol, (a.mint)::text) AS symbol,
    r.active AS is_followed,
    analytics.figure(a.drift, k.decimals) AS drift,
    (a.drift)::numeric AS drift_base_units,
    a.gaps,
    ((a.drift = (0)::numeric) AND (a.gaps = 0) AND (a.audited_slot IS NOT NULL)) AS is_proven,
    a.audited_slot,
    a.audited_at,
    a.healed_at,
    a.heal_reason
   FROM ((public.token_accounts a
     JOIN public.recipients r ON (((r.address)::text = (a.recipient)::text)))
     LEFT JOIN public.tokens k ON (((k.mint)::text = (a.mint)::text)));

COMMENT ON VIEW analytics.ledger_health IS 'Each followed account: whether its audits are good, and what is wrong where not';

COMMENT ON COLUMN analytics.ledger_health.drift IS 'Balance on chain less the ledger''s, in units of the token';

COMMENT ON COLUMN analytics.ledger_health.gaps IS 'Places where a balance change does not start where the one before ended';

CREATE VIEW analytics.payouts AS
 SELECT p.id,
    p.job_id,
    p.kind,
    p.reason,
    p.wallet,
    p.recipient,
    p.mint,
    COALESCE(k.symbol, (p.mint)::text) AS symbol,
    analytics.figure((p.amount)::numeric, k.decimals) AS amount,
    (p.amount)::numeric AS amount_base_units,
    (p.status)::text AS status,
    p.waiting_reason,
    p.tries,
    p.settled_signature,
    p.created_at,
    p.settled_at
   FROM (public.payouts p
     LEFT JOIN public.tokens k ON (((k.mint)::text = (p.mint)::text)));

COMMENT ON VIEW analytics.payouts IS 'Money sent or to be sent: releases and refunds; never the signed bytes';

CREATE VIEW analytics.recipients AS
 SELECT address AS wallet,
    user_id,
    label,
    active,
    followed_from_slot,
    created_at,
    removed_at
   FROM public.recipients;

COMMENT ON VIEW analytics.recipients IS 'Wallets that are or were followed, and the merchant each belongs to';

CREATE VIEW analytics.reconciliation_runs AS
 SELECT id,
    status,
    requested_by,
    report,
    error,
    created_at,
    started_at,
    finished_at
   FROM public.reconciliation_runs;

COMMENT ON VIEW analytics.reconciliation_runs IS 'Reports that hold claims against transfers, newest last';

CREATE TABLE public.claim_changes (
    id bigint NOT NULL,
    day date NOT NULL,
    user_id text NOT NULL,
    agent_id text,
    mint public.address NOT NULL,
    environment text NOT NULL,
    claims integer NOT NULL,
    received numeric NOT NULL,
    last_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.claim_changes IS 'Changes of the totals that are not folded into them yet';

COMMENT ON COLUMN public.claim_changes.day IS 'The day of the claims'' timestamps, UTC';

COMMENT ON COLUMN public.claim_changes.claims IS 'Honoured claims more; negative where a fork undid some';

CREATE TABLE public.revenue_days (
    user_id text NOT NULL,
    day date NOT NULL,
    mint public.address NOT NULL,
    environment text NOT NULL,
    claims bigint NOT NULL,
    received numeric NOT NULL
);

COMMENT ON TABLE public.revenue_days IS 'What honoured claims of a day add up to, in base units; claim_changes is still to be added';

COMMENT ON COLUMN public.revenue_days.user_id IS 'The merchant; empty for all of them together';

CREATE VIEW analytics.revenue AS
 SELECT d.day,
    d.user_id,
    d.mint,
    COALESCE(k.symbol, (d.mint)::text) AS symbol,
    d.environment,
    (sum(d.claims))::bigint AS claims,
    analytics.figure(sum(d.received), k.decimals) AS received,
    sum(d.received) AS received_base_units
   FROM (( SELECT revenue_days.day,
            revenue_days.user_id,
            revenue_days.mint,
            revenue_days.environment,
            revenue_days.claims,
            revenue_days.received
           FROM public.revenue_days
          WHERE (revenue_days.user_id <> ''::text)
        UNION ALL
         SELECT claim_changes.day,
            claim_changes.user_id,
            claim_changes.mint,
            claim_changes.environment,
            claim_changes.claims,
            claim_changes.received
           FROM public.claim_changes) d
     LEFT JOIN public.tokens k ON (((k.mint)::text = (d.mint)::text)))
  GROUP BY d.day, d.user_id, d.mint, k.symbol, k.decimals, d.environment
 HAVING (sum(d.claims) <> (0)::numeric);

COMMENT ON VIEW analytics.revenue IS 'Honoured claims of each day (UTC), merchant and token; exact up to this moment';

CREATE VIEW analytics.services AS
 SELECT s.id,
    s.user_id,
    s.agent_id,
    s.name,
    s.category,
    s.pricing_model,
    s.price_currency AS symbol,
    analytics.figure((s.price_amount)::numeric, k.decimals) AS price,
    (s.price_amount)::numeric AS price_base_units,
    s.is_active,
    s.total_jobs,
    s.successful_jobs,
    analytics.figure((s.total_earnings)::numeric, k.decimals) AS earned,
    (s.total_earnings)::numeric AS earned_base_units,
    ((s.rating_sum)::numeric / (NULLIF(s.rating_count, 0))::numeric) AS rating,
    s.rating_count,
    s.created_at,
    s.updated_at
   FROM (public.agent_services s
     LEFT JOIN public.tokens k ON (((k.mint)::text = (s.price_mint)::text)));

COMMENT ON VIEW analytics.services IS 'Services of the marketplace with what they have earned';

CREATE VIEW analytics.tokens AS
 SELECT mint,
    COALESCE(symbol, (mint)::text) AS symbol,
    decimals,
    program,
    network
   FROM public.tokens;

COMMENT ON VIEW analytics.tokens IS 'Every mint the ledger knows; one without a symbol is called by its address';

CREATE VIEW analytics.transfers AS
 SELECT t.signature,
    t.path,
    t.slot,
    t.block_time,
    t.recorded_at,
    t.kind,
    t.mint,
    COALESCE(k.symbol, (t.mint)::text) AS symbol,
    t.source_owner,
    t.destination_owner,
        CASE
            WHEN (r.owned_since IS NULL) THEN r.user_id
            ELSE COALESCE(( SELECT f.user_id
               FROM public.former_recipients f
              WHERE (((f.address)::text = (t.destination_owner)::text) AND (public.paid_at(t.block_time, t.notified_at, t.recorded_at) < f.owned_until) AND ((f.owned_since IS NULL) OR (public.paid_at(t.block_time, t.notified_at, t.recorded_at) >= f.owned_since)))
             LIMIT 1), r.user_id)
        END AS user_id,
    analytics.figure((t.amount)::numeric, k.decimals) AS amount,
    analytics.figure((t.fee)::numeric, k.decimals) AS fee,
    analytics.figure(((t.amount)::numeric - (t.fee)::numeric), k.decimals) AS credited,
    (t.amount)::numeric AS amount_base_units,
    (t.fee)::numeric AS fee_base_units,
    ((t.amount)::numeric - (t.fee)::numeric) AS credited_base_units,
    public.shown_finality(t.finality, t.awaits_witness_since) AS finality
   FROM ((public.transfers t
     LEFT JOIN public.tokens k ON (((k.mint)::text = (t.mint)::text)))
     LEFT JOIN public.recipients r ON (((r.address)::text = (t.destination_owner)::text)));

COMMENT ON VIEW analytics.transfers IS 'Every movement of tokens from or to a followed wallet, orphaned ones included';

COMMENT ON COLUMN analytics.transfers.user_id IS 'The merchant to whose wallet it went; null for money that left';

COMMENT ON COLUMN analytics.transfers.credited IS 'What the destination gained, in units of the token: amount less fee';

COMMENT ON COLUMN analytics.transfers.finality IS 'confirmed, finalized, orphaned: undone by a fork, or pending: not seen by enough nodes';

CREATE TABLE public.agent_days (
    user_id text NOT NULL,
    day date NOT NULL,
    agent_id text NOT NULL,
    mint public.address NOT NULL,
    environment text NOT NULL,
    claims bigint NOT NULL,
    received numeric NOT NULL,
    last_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.agent_days IS 'What an agent spent in a day of the last two months, in base units; claim_changes is still to be added';

COMMENT ON COLUMN public.agent_days.user_id IS 'The merchant who was paid; empty for all of them together';

COMMENT ON COLUMN public.agent_days.last_at IS 'The newest claim that was ever counted here';

CREATE TABLE public.agent_ids (
    agent_id text NOT NULL,
    user_id text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.agent_ids IS 'Whose each agent on the marketplace is: the user who first offered or ordered under that id';

CREATE TABLE public.agent_months (
    user_id text NOT NULL,
    month date NOT NULL,
    agent_id text NOT NULL,
    mint public.address NOT NULL,
    environment text NOT NULL,
    claims bigint NOT NULL,
    received numeric NOT NULL,
    last_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.agent_months IS 'What an agent spent in a month, as agent_days has it for days';

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
    proof_version smallint DEFAULT 1 NOT NULL,
    CONSTRAINT api_keys_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT api_keys_key_check CHECK ((key ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT api_keys_permissions_check CHECK (((permissions <> '{}'::text[]) AND (permissions <@ ARRAY['read'::text, 'write'::text, 'admin'::text]))),
    CONSTRAINT api_keys_proof_version_check CHECK ((proof_version = ANY (ARRAY[1, 2])))
);

COMMENT ON TABLE public.api_keys IS 'An API key: its owner and rights, and the SHA-256 of the key, never the key itself';

COMMENT ON COLUMN public.api_keys.key IS 'SHA-256 of the key, in hexadecimal; the key has 256 random bits';

COMMENT ON COLUMN public.api_keys.final_only IS 'Its claims are honoured by finalized transfers only';

COMMENT ON COLUMN public.api_keys.proof_version IS 'Which proofs are accepted: 1 all, 2 those that sign recipient and transaction too';

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

ALTER TABLE public.claim_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.claim_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.cluster (
    is_only boolean DEFAULT true NOT NULL,
    genesis_hash text NOT NULL,
    network text NOT NULL,
    named_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT cluster_is_only_check CHECK (is_only)
);

COMMENT ON TABLE public.cluster IS 'The cluster that this ledger is about: one row from the first use on';

COMMENT ON COLUMN public.cluster.genesis_hash IS 'The hash of its first block, by which every node is checked';

COMMENT ON COLUMN public.cluster.network IS 'SOLANA_NETWORK at the first use, for people';

CREATE TABLE public.console_sessions (
    token_hash text NOT NULL,
    key_prefix text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT console_sessions_token_hash_check CHECK ((token_hash ~ '^[0-9a-f]{64}$'::text))
);

COMMENT ON TABLE public.console_sessions IS 'A browser that is signed in at the console; it ends with the key that it was signed in with';

COMMENT ON COLUMN public.console_sessions.token_hash IS 'SHA-256 of what the browser has in its cookie, in hexadecimal; that has 256 random bits';

ALTER TABLE public.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.feed (
    id bigint NOT NULL,
    event_id bigint NOT NULL,
    type text NOT NULL,
    user_id text NOT NULL,
    environment text NOT NULL,
    at timestamp with time zone NOT NULL,
    published_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    body text NOT NULL,
    CONSTRAINT feed_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text])))
);

COMMENT ON TABLE public.feed IS 'What happened, as the user whose it is sees it, numbered in the order of its publication';

COMMENT ON COLUMN public.feed.event_id IS 'The row of events it was made of';

COMMENT ON COLUMN public.feed.at IS 'When it happened';

COMMENT ON COLUMN public.feed.body IS 'The JSON that every reader gets, byte by byte';

CREATE TABLE public.feed_gaps (
    event_id bigint NOT NULL,
    writers text[] NOT NULL
);

COMMENT ON TABLE public.feed_gaps IS 'Ids below the position that were not committed when it passed them';

COMMENT ON COLUMN public.feed_gaps.writers IS 'The transactions that may still commit it; once they have ended, it never comes';

CREATE TABLE public.feed_position (
    is_only_row boolean DEFAULT true NOT NULL,
    event_id bigint NOT NULL,
    feed_id bigint NOT NULL,
    pruned_feed_id bigint DEFAULT 0 NOT NULL,
    matched_until timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT feed_position_is_only_row_check CHECK (is_only_row)
);

COMMENT ON TABLE public.feed_position IS 'How far events are published; whoever publishes holds its one row';

COMMENT ON COLUMN public.feed_position.event_id IS 'Every event up to this one is published, but for feed_gaps';

COMMENT ON COLUMN public.feed_position.feed_id IS 'The newest row of the feed';

COMMENT ON COLUMN public.feed_position.pruned_feed_id IS 'The newest row of the feed that was removed for its age';

COMMENT ON COLUMN public.feed_position.matched_until IS 'Transfers that were final before then have been looked at for their claims';

CREATE TABLE public.heartbeats (
    role text NOT NULL,
    instance text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_slot bigint,
    recorded_slot bigint,
    accounts_waiting integer DEFAULT 0 NOT NULL
);

COMMENT ON TABLE public.heartbeats IS 'Signs of life of indexers and workers';

COMMENT ON COLUMN public.heartbeats.seen_slot IS 'The newest slot that an indexer has been told of';

COMMENT ON COLUMN public.heartbeats.recorded_slot IS 'Everything it has been told of up to this slot is recorded';

COMMENT ON COLUMN public.heartbeats.accounts_waiting IS 'Empty token accounts that strangers opened and that an indexer does not follow until they are paid';

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

CREATE TABLE public.payout_redirects (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    payout_id uuid NOT NULL,
    from_recipient public.address NOT NULL,
    to_recipient public.address NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    outcome text,
    CONSTRAINT payout_redirects_check CHECK (((from_recipient)::text <> (to_recipient)::text)),
    CONSTRAINT payout_redirects_check1 CHECK (((ended_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT payout_redirects_outcome_check CHECK ((outcome = ANY (ARRAY['applied'::text, 'too_late'::text])))
);

COMMENT ON TABLE public.payout_redirects IS 'A wish that a payout that waits goes to another wallet';

COMMENT ON COLUMN public.payout_redirects.asked_by IS 'The user whose key asked for it';

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

CREATE TABLE public.report_claim_changes (
    id bigint NOT NULL,
    user_id text NOT NULL,
    mint public.address NOT NULL,
    status public.claim_status NOT NULL,
    claims integer NOT NULL,
    claimed numeric NOT NULL,
    received numeric NOT NULL,
    short integer NOT NULL,
    overpaid integer NOT NULL,
    signatures text[],
    nonces text[]
);

COMMENT ON TABLE public.report_claim_changes IS 'What statements changed about claims';

COMMENT ON COLUMN public.report_claim_changes.signatures IS 'Of those that took a transfer, or gave one back';

COMMENT ON COLUMN public.report_claim_changes.nonces IS 'Of the same: other transfers may name them';

ALTER TABLE public.report_claim_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.report_claim_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.report_claims (
    user_id text NOT NULL,
    mint public.address NOT NULL,
    status public.claim_status NOT NULL,
    claims bigint NOT NULL,
    claimed numeric NOT NULL,
    received numeric NOT NULL,
    short bigint NOT NULL,
    overpaid bigint NOT NULL
);

COMMENT ON TABLE public.report_claims IS 'The claims of a merchant that stand alike, in base units; report_claim_changes is still to be added';

CREATE TABLE public.report_credit_changes (
    id bigint NOT NULL,
    recipient public.address NOT NULL,
    mint public.address NOT NULL,
    kind text NOT NULL,
    transfers integer NOT NULL,
    credited numeric NOT NULL,
    slots bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    signatures text[] DEFAULT '{}'::text[] NOT NULL
);

COMMENT ON TABLE public.report_credit_changes IS 'What statements changed about credits, and where';

COMMENT ON COLUMN public.report_credit_changes.transfers IS 'Credits more; negative where one was undone';

COMMENT ON COLUMN public.report_credit_changes.slots IS 'Where the new ones landed';

COMMENT ON COLUMN public.report_credit_changes.signatures IS 'Those that were there before';

ALTER TABLE public.report_credit_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.report_credit_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.report_credits (
    recipient public.address NOT NULL,
    mint public.address NOT NULL,
    kind text NOT NULL,
    transfers bigint NOT NULL,
    credited numeric NOT NULL
);

COMMENT ON TABLE public.report_credits IS 'What each wallet was credited in all, in base units; report_credit_changes is still to be added';

CREATE TABLE public.report_finding_totals (
    kind text NOT NULL,
    recipient public.address NOT NULL,
    mint public.address NOT NULL,
    findings bigint NOT NULL,
    amount numeric NOT NULL
);

COMMENT ON TABLE public.report_finding_totals IS 'How many findings there are, and what they add up to in base units';

CREATE TABLE public.report_findings (
    kind text NOT NULL,
    signature public.signature NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    user_id text,
    mint public.address NOT NULL,
    amount numeric NOT NULL,
    expected numeric,
    payer public.address,
    recipient public.address NOT NULL,
    nonce text,
    claim_id uuid,
    at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.report_findings IS 'Transfers that do not match, as of the changes that are folded';

COMMENT ON COLUMN public.report_findings.user_id IS 'Whose request it is about, or whose the wallet was; null for what names no request and is the wallet''s present owner''s';

CREATE TABLE public.report_recipient_changes (
    id bigint NOT NULL,
    recipient public.address NOT NULL
);

COMMENT ON TABLE public.report_recipient_changes IS 'Wallets that are new: what they were credited before counts from now on';

ALTER TABLE public.report_recipient_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.report_recipient_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.report_request_changes (
    id bigint NOT NULL,
    nonces text[] NOT NULL,
    reference_keys text[] NOT NULL
);

COMMENT ON TABLE public.report_request_changes IS 'Payment requests that were made, changed or removed';

ALTER TABLE public.report_request_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.report_request_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.report_state (
    is_only_row boolean DEFAULT true NOT NULL,
    counted_at timestamp with time zone,
    checked_at timestamp with time zone,
    CONSTRAINT report_state_is_only_row_check CHECK (is_only_row)
);

COMMENT ON TABLE public.report_state IS 'Whether what reports keep can be trusted; whoever folds changes holds this table';

COMMENT ON COLUMN public.report_state.counted_at IS 'When it was counted from the whole ledger; null: it has to be';

COMMENT ON COLUMN public.report_state.checked_at IS 'When it was last compared with the whole ledger';

CREATE TABLE public.settlement_budgets (
    day date NOT NULL,
    scope text NOT NULL,
    subject text NOT NULL,
    lamports bigint NOT NULL,
    lamports_max bigint NOT NULL,
    CONSTRAINT settlement_budget_all CHECK (((scope <> 'all'::text) OR (lamports <= lamports_max))),
    CONSTRAINT settlement_budget_keyless CHECK (((scope <> 'keyless'::text) OR (lamports <= lamports_max))),
    CONSTRAINT settlement_budget_keyless_merchant CHECK (((scope <> 'keyless_merchant'::text) OR (lamports <= lamports_max))),
    CONSTRAINT settlement_budget_merchant CHECK (((scope <> 'merchant'::text) OR (lamports <= lamports_max))),
    CONSTRAINT settlement_budget_payer CHECK (((scope <> 'payer'::text) OR (lamports <= lamports_max))),
    CONSTRAINT settlement_budgets_lamports_check CHECK ((lamports >= 0)),
    CONSTRAINT settlement_budgets_scope_check CHECK ((scope = ANY (ARRAY['all'::text, 'merchant'::text, 'payer'::text, 'keyless'::text, 'keyless_merchant'::text])))
);

COMMENT ON TABLE public.settlement_budgets IS 'Lamports of fees that settlements of one day, in UTC, have reserved: of all, of a merchant, of a payer; without an API key of all such, and of a merchant instead of its own';

COMMENT ON COLUMN public.settlement_budgets.lamports_max IS 'The budget as the newest reservation was given it';

CREATE TABLE public.state_transitions (
    machine text NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL
);

COMMENT ON TABLE public.state_transitions IS 'The steps that a status may take; `new` is where a row comes from';

CREATE TABLE public.vanished_transactions (
    signature public.signature NOT NULL,
    slot bigint NOT NULL,
    missing_at_height bigint NOT NULL,
    noticed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT vanished_transactions_missing_at_height_check CHECK ((missing_at_height >= 0))
);

COMMENT ON TABLE public.vanished_transactions IS 'Recorded transactions that the cluster does not know any more, until they are dead or land again';

COMMENT ON COLUMN public.vanished_transactions.missing_at_height IS 'The lowest block height that was seen to be the newest while they were missing: 150 blocks later their blockhash is dead';

CREATE TABLE public.webhook_deliveries (
    webhook_id uuid NOT NULL,
    feed_id bigint NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    next_try_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    answered_at timestamp with time zone,
    answer_status integer,
    answer_start text,
    answer_ms integer,
    error text,
    CONSTRAINT webhook_deliveries_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])))
);

COMMENT ON TABLE public.webhook_deliveries IS 'An entry of the feed that is to be sent, or was, and what became of the last try';

COMMENT ON COLUMN public.webhook_deliveries.next_try_at IS 'While a worker is at it: when another may take it, should that one have died';

CREATE TABLE public.webhook_secrets (
    webhook_id uuid NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    valid_until timestamp with time zone,
    secret bytea NOT NULL,
    signing_seed bytea NOT NULL,
    public_key bytea NOT NULL,
    sealed_by text
);

COMMENT ON TABLE public.webhook_secrets IS 'What deliveries are signed with: the newest, and for a while the one before';

COMMENT ON COLUMN public.webhook_secrets.secret IS 'Of HMAC-SHA256; its receiver has it too';

COMMENT ON COLUMN public.webhook_secrets.signing_seed IS 'Of ed25519; nobody else has it';

COMMENT ON COLUMN public.webhook_secrets.sealed_by IS 'The name of the key that secret and signing_seed are sealed by; null while they are stored as they are';

CREATE TABLE public.webhooks (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id text NOT NULL,
    environment text NOT NULL,
    url text NOT NULL,
    types text[],
    description text DEFAULT ''::text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    disabled_reason text,
    failing_since timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT webhooks_description_check CHECK ((char_length(description) <= 256)),
    CONSTRAINT webhooks_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT webhooks_status_check CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text]))),
    CONSTRAINT webhooks_url_check CHECK (((char_length(url) >= 1) AND (char_length(url) <= 2048)))
);

COMMENT ON TABLE public.webhooks IS 'An address that is sent what happens to a user''s money';

COMMENT ON COLUMN public.webhooks.types IS 'Which types of events it is sent; null for every one';

COMMENT ON COLUMN public.webhooks.failing_since IS 'Since when every delivery has failed';

ALTER TABLE ONLY public.agent_days
    ADD CONSTRAINT agent_days_pkey PRIMARY KEY (user_id, mint, day, agent_id, environment) INCLUDE (claims, received, last_at);

ALTER TABLE ONLY public.agent_ids
    ADD CONSTRAINT agent_ids_pkey PRIMARY KEY (agent_id);

ALTER TABLE ONLY public.agent_months
    ADD CONSTRAINT agent_months_pkey PRIMARY KEY (user_id, mint, month, agent_id, environment) INCLUDE (claims, received, last_at);

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

ALTER TABLE ONLY public.claim_changes
    ADD CONSTRAINT claim_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.cluster
    ADD CONSTRAINT cluster_pkey PRIMARY KEY (is_only);

ALTER TABLE ONLY public.console_sessions
    ADD CONSTRAINT console_sessions_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.feed
    ADD CONSTRAINT feed_event_id_type_user_id_key UNIQUE (event_id, type, user_id);

ALTER TABLE ONLY public.feed_gaps
    ADD CONSTRAINT feed_gaps_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.feed
    ADD CONSTRAINT feed_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.feed_position
    ADD CONSTRAINT feed_position_pkey PRIMARY KEY (is_only_row);

ALTER TABLE ONLY public.finding_decisions
    ADD CONSTRAINT finding_decisions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.former_recipients
    ADD CONSTRAINT former_recipients_pkey PRIMARY KEY (address, owned_until);

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

ALTER TABLE ONLY public.job_requests
    ADD CONSTRAINT job_requests_reference_key UNIQUE (reference);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_pkey PRIMARY KEY (nonce);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_reference_key UNIQUE (reference);

ALTER TABLE ONLY public.payout_attempts
    ADD CONSTRAINT payout_attempts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.payout_attempts
    ADD CONSTRAINT payout_attempts_signature_key UNIQUE (signature);

ALTER TABLE ONLY public.payout_redirects
    ADD CONSTRAINT payout_redirects_pkey PRIMARY KEY (id);

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

ALTER TABLE ONLY public.report_claim_changes
    ADD CONSTRAINT report_claim_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.report_claims
    ADD CONSTRAINT report_claims_pkey PRIMARY KEY (user_id, mint, status);

ALTER TABLE ONLY public.report_credit_changes
    ADD CONSTRAINT report_credit_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.report_credits
    ADD CONSTRAINT report_credits_pkey PRIMARY KEY (recipient, mint, kind);

ALTER TABLE ONLY public.report_finding_totals
    ADD CONSTRAINT report_finding_totals_pkey PRIMARY KEY (kind, recipient, mint);

ALTER TABLE ONLY public.report_recipient_changes
    ADD CONSTRAINT report_recipient_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.report_request_changes
    ADD CONSTRAINT report_request_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.report_state
    ADD CONSTRAINT report_state_pkey PRIMARY KEY (is_only_row);

ALTER TABLE ONLY public.revenue_days
    ADD CONSTRAINT revenue_days_pkey PRIMARY KEY (user_id, day, mint, environment);

ALTER TABLE ONLY public.settlement_budgets
    ADD CONSTRAINT settlement_budgets_pkey PRIMARY KEY (day, scope, subject);

ALTER TABLE ONLY public.settlements
    ADD CONSTRAINT settlements_message_hash_key UNIQUE (message_hash);

ALTER TABLE ONLY public.settlements
    ADD CONSTRAINT settlements_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.settlements
    ADD CONSTRAINT settlements_signature_key UNIQUE (signature);

ALTER TABLE ONLY public.settlements
    ADD CONSTRAINT settlements_user_id_payment_identifier_key UNIQUE (user_id, payment_identifier);

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

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (webhook_id, feed_id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (id);

CREATE INDEX agent_services_category_is_active ON public.agent_services USING btree (category, is_active);

CREATE INDEX agent_services_is_active_price_amount ON public.agent_services USING btree (is_active, price_amount);

CREATE INDEX agent_services_is_active_total_earnings ON public.agent_services USING btree (is_active, total_earnings);

CREATE INDEX agent_services_user_id ON public.agent_services USING btree (user_id);

CREATE INDEX api_keys_created_at ON public.api_keys USING btree (created_at DESC, key_prefix);

CREATE INDEX api_keys_revoked_expires_at ON public.api_keys USING btree (revoked, expires_at);

CREATE INDEX api_keys_user_id ON public.api_keys USING btree (user_id);

CREATE INDEX api_keys_user_id_revoked ON public.api_keys USING btree (user_id, revoked);

CREATE INDEX backfill_requests_open ON public.backfill_requests USING btree (created_at) WHERE (finished_at IS NULL);

CREATE UNIQUE INDEX backfill_requests_queued ON public.backfill_requests USING btree (recipient, signature, from_slot, to_slot) NULLS NOT DISTINCT WHERE (status = 'queued'::text);

CREATE INDEX balance_changes_account_slot ON public.balance_changes USING btree (account, slot, signature);

CREATE INDEX balance_changes_confirmed_slot ON public.balance_changes USING btree (slot) WHERE (finality = 'confirmed'::public.finality);

CREATE INDEX balance_changes_unexplained ON public.balance_changes USING btree (slot) WHERE (unexplained <> (0)::numeric);

CREATE INDEX console_sessions_expires_at ON public.console_sessions USING btree (expires_at);

CREATE INDEX console_sessions_key_prefix ON public.console_sessions USING btree (key_prefix, created_at);

CREATE INDEX events_agent_id_at ON public.events USING btree (agent_id, at) INCLUDE (id, type, user_id) WHERE (agent_id IS NOT NULL);

CREATE INDEX events_at ON public.events USING btree (at, id);

CREATE INDEX events_subject ON public.events USING btree (subject);

CREATE INDEX events_type_at ON public.events USING btree (type, at) INCLUDE (id, user_id, agent_id);

CREATE INDEX events_user_id_at ON public.events USING btree (user_id, at) INCLUDE (id, type, agent_id) WHERE (user_id IS NOT NULL);

CREATE INDEX feed_published_at ON public.feed USING btree (published_at);

CREATE INDEX feed_user_id_id ON public.feed USING btree (user_id, id) INCLUDE (type, environment);

CREATE UNIQUE INDEX finding_decisions_accepted ON public.finding_decisions USING btree (finding_id) WHERE (action = 'accepted'::text);

CREATE INDEX finding_decisions_finding_id ON public.finding_decisions USING btree (finding_id, decided_at);

CREATE UNIQUE INDEX finding_decisions_noted ON public.finding_decisions USING btree (finding_id, md5(note)) WHERE (action = 'noted'::text);

CREATE UNIQUE INDEX finding_decisions_refund ON public.finding_decisions USING btree (refund_signature, refund_path) WHERE (action = 'refunded'::text);

CREATE INDEX finding_decisions_refunded ON public.finding_decisions USING btree (signature, path) WHERE (action = 'refunded'::text);

CREATE INDEX finding_decisions_withdrawn_refund ON public.finding_decisions USING btree (signature, path) WHERE (action = 'withdrawn'::text);

CREATE INDEX former_recipients_user_id ON public.former_recipients USING btree (user_id);

CREATE INDEX idempotent_answers_created_at ON public.idempotent_answers USING btree (created_at);

CREATE INDEX index_requests_open ON public.index_requests USING btree (next_try_at) WHERE (finished_at IS NULL);

CREATE UNIQUE INDEX job_fundings_escrow ON public.job_fundings USING btree (job_id) WHERE ((escrowed)::numeric > (0)::numeric);

CREATE INDEX job_fundings_job_id ON public.job_fundings USING btree (job_id);

CREATE INDEX job_requests_client_agent_id_status ON public.job_requests USING btree (client_agent_id, status);

CREATE INDEX job_requests_client_user_id_status ON public.job_requests USING btree (client_user_id, status, created_at, id);

CREATE INDEX job_requests_created_at ON public.job_requests USING btree (created_at);

CREATE INDEX job_requests_held ON public.job_requests USING btree (status) WHERE (escrow_status = ANY (ARRAY['escrowed'::public.escrow_status, 'disputed'::public.escrow_status]));

CREATE INDEX job_requests_open ON public.job_requests USING btree (deadline) WHERE (status = ANY (ARRAY['pending'::public.job_status, 'accepted'::public.job_status, 'in_progress'::public.job_status]));

CREATE INDEX job_requests_open_settlement_wallet ON public.job_requests USING btree (settlement_wallet) WHERE ((NOT public.escrow_is_settled(escrow_status)) AND ((escrow_status <> 'pending'::public.escrow_status) OR public.job_is_open(status)));

CREATE INDEX job_requests_provider_agent_id_status ON public.job_requests USING btree (provider_agent_id, status);

CREATE INDEX job_requests_provider_user_id_status ON public.job_requests USING btree (provider_user_id, status, created_at, id);

CREATE INDEX job_requests_service_id_created_at ON public.job_requests USING btree (service_id, created_at);

CREATE INDEX job_requests_status_created_at ON public.job_requests USING btree (status, created_at);

CREATE INDEX nonces_created_at ON public.nonces USING btree (created_at, nonce);

CREATE INDEX nonces_live_recipient ON public.nonces USING btree (recipient, expires_at) WHERE (environment = 'live'::text);

CREATE INDEX nonces_unexpired ON public.nonces USING btree (expires_at) WHERE (expired_at IS NULL);

CREATE INDEX nonces_user_id_created_at ON public.nonces USING btree (user_id, created_at);

CREATE INDEX payout_attempts_gifts ON public.payout_attempts USING btree (created_at) WHERE (gift_lamports > 0);

CREATE UNIQUE INDEX payout_attempts_living ON public.payout_attempts USING btree (payout_id) WHERE (ended_at IS NULL);

CREATE UNIQUE INDEX payout_attempts_nonce ON public.payout_attempts USING btree (nonce_account, nonce_value) WHERE (nonce_account IS NOT NULL);

CREATE UNIQUE INDEX payout_attempts_nonce_living ON public.payout_attempts USING btree (nonce_account) WHERE ((nonce_account IS NOT NULL) AND (ended_at IS NULL));

CREATE INDEX payout_attempts_payout_id ON public.payout_attempts USING btree (payout_id);

CREATE UNIQUE INDEX payout_redirects_open ON public.payout_redirects USING btree (payout_id) WHERE (ended_at IS NULL);

CREATE INDEX payout_redirects_payout_id ON public.payout_redirects USING btree (payout_id);

CREATE INDEX payouts_created_at ON public.payouts USING btree (created_at);

CREATE INDEX payouts_job_id ON public.payouts USING btree (job_id);

CREATE INDEX payouts_open ON public.payouts USING btree (next_try_at) WHERE (status <> 'settled'::public.payout_status);

CREATE INDEX payouts_recipient ON public.payouts USING btree (recipient, created_at) WHERE (kind = 'refund'::text);

CREATE INDEX payouts_status_created_at ON public.payouts USING btree (status, created_at, id);

CREATE INDEX ratings_service_id ON public.ratings USING btree (service_id);

CREATE INDEX ratings_uncounted ON public.ratings USING btree (job_id) WHERE (counted_at IS NULL);

CREATE INDEX recipients_created_at ON public.recipients USING btree (created_at, address) WHERE active;

CREATE INDEX recipients_user_id ON public.recipients USING btree (user_id);

CREATE INDEX reconciliation_runs_created_at ON public.reconciliation_runs USING btree (created_at);

CREATE INDEX reconciliation_runs_done ON public.reconciliation_runs USING btree (finished_at) WHERE (status = 'done'::text);

CREATE INDEX reconciliation_runs_unfinished ON public.reconciliation_runs USING btree (created_at) WHERE (finished_at IS NULL);

CREATE INDEX report_findings_kind_at ON public.report_findings USING btree (kind, at, signature, path);

CREATE INDEX report_findings_recipient ON public.report_findings USING btree (recipient);

CREATE INDEX report_findings_signature ON public.report_findings USING btree (signature);

CREATE INDEX settlements_claim_id ON public.settlements USING btree (claim_id);

CREATE INDEX settlements_decided_at ON public.settlements USING btree (decided_at) WHERE ((wire IS NOT NULL) AND (decided_at IS NOT NULL));

CREATE INDEX settlements_open ON public.settlements USING btree (created_at) WHERE (status = ANY (ARRAY['signed'::public.settlement_status, 'sent'::public.settlement_status]));

CREATE UNIQUE INDEX settlements_request ON public.settlements USING btree (request_nonce) WHERE ((request_nonce IS NOT NULL) AND (status <> 'failed'::public.settlement_status));

CREATE INDEX settlements_status_created_at ON public.settlements USING btree (status, created_at, id);

CREATE INDEX settlements_user_id_status_created_at ON public.settlements USING btree (user_id, status, created_at, id);

CREATE INDEX token_accounts_heal_wanted ON public.token_accounts USING btree (heal_wanted_at) WHERE (heal_wanted_at IS NOT NULL);

CREATE INDEX token_accounts_in_doubt ON public.token_accounts USING btree (address) WHERE ((drift <> (0)::numeric) OR (gaps > 0));

CREATE INDEX token_accounts_recipient ON public.token_accounts USING btree (recipient);

CREATE INDEX transactions_agent_id_timestamp ON public.transactions USING btree (agent_id, "timestamp") INCLUDE (id, user_id, status, currency, environment);

CREATE UNIQUE INDEX transactions_nonce ON public.transactions USING btree (nonce, user_id) WHERE (status = ANY (ARRAY['confirmed'::public.claim_status, 'finalized'::public.claim_status, 'reversed'::public.claim_status]));

CREATE INDEX transactions_overpaid ON public.transactions USING btree ("timestamp") WHERE ((received)::numeric > (amount)::numeric);

CREATE UNIQUE INDEX transactions_payer_nonce ON public.transactions USING btree (nonce, payer) WHERE ((status = ANY (ARRAY['confirmed'::public.claim_status, 'finalized'::public.claim_status, 'reversed'::public.claim_status])) AND (NOT for_request));

CREATE INDEX transactions_payer_timestamp ON public.transactions USING btree (payer, "timestamp");

CREATE INDEX transactions_pending ON public.transactions USING btree ("timestamp") WHERE (status = 'pending'::public.claim_status);

CREATE INDEX transactions_pending_user ON public.transactions USING btree (user_id) WHERE (status = 'pending'::public.claim_status);

CREATE UNIQUE INDEX transactions_proof ON public.transactions USING btree (nonce, signature, payer, user_id);

CREATE INDEX transactions_recipient_status ON public.transactions USING btree (recipient, status);

CREATE INDEX transactions_short ON public.transactions USING btree ("timestamp") WHERE ((status = 'failed'::public.claim_status) AND (code = 'INSUFFICIENT_AMOUNT'::text));

CREATE INDEX transactions_timestamp_status ON public.transactions USING btree ("timestamp", status) INCLUDE (id, currency, agent_id, environment);

CREATE UNIQUE INDEX transactions_transfer ON public.transactions USING btree (signature, path) WHERE (status = ANY (ARRAY['confirmed'::public.claim_status, 'finalized'::public.claim_status, 'reversed'::public.claim_status]));

CREATE INDEX transactions_unpaid ON public.transactions USING btree ("timestamp") WHERE (NOT public.claim_is_paid(status));

CREATE INDEX transactions_unsettled ON public.transactions USING btree (signature) WHERE (status = ANY (ARRAY['confirmed'::public.claim_status, 'reversed'::public.claim_status]));

CREATE INDEX transactions_user_id_timestamp ON public.transactions USING btree (user_id, "timestamp") INCLUDE (id, status, currency, agent_id, environment);

CREATE INDEX transfers_awaiting_witness ON public.transfers USING btree (awaits_witness_since) WHERE (awaits_witness_since IS NOT NULL);

CREATE INDEX transfers_confirmed_slot ON public.transfers USING btree (slot) WHERE (finality = 'confirmed'::public.finality);

CREATE INDEX transfers_destination_owner_slot ON public.transfers USING btree (destination_owner, slot DESC);

CREATE INDEX transfers_memos ON public.transfers USING gin (memos) WHERE (memos <> '{}'::text[]);

CREATE INDEX transfers_mint_slot ON public.transfers USING btree (mint, slot DESC);

CREATE INDEX transfers_orphaned_destination_owner_slot ON public.transfers USING btree (destination_owner, slot DESC) WHERE (finality = 'orphaned'::public.finality);

CREATE INDEX transfers_orphaned_slot ON public.transfers USING btree (slot DESC) WHERE (finality = 'orphaned'::public.finality);

CREATE INDEX transfers_recorded_at ON public.transfers USING btree (recorded_at, destination_owner);

CREATE INDEX transfers_reference_keys ON public.transfers USING gin (reference_keys) WHERE (reference_keys <> '{}'::text[]);

CREATE INDEX transfers_slot ON public.transfers USING btree (slot DESC);

CREATE INDEX transfers_source_owner_slot ON public.transfers USING btree (source_owner, slot DESC);

CREATE INDEX transfers_time ON public.transfers USING btree (COALESCE(block_time, recorded_at), signature, path);

CREATE INDEX webhook_deliveries_due ON public.webhook_deliveries USING btree (webhook_id, next_try_at, feed_id) WHERE (status = 'pending'::text);

CREATE INDEX webhook_deliveries_feed_id ON public.webhook_deliveries USING btree (feed_id);

CREATE UNIQUE INDEX webhook_secrets_newest ON public.webhook_secrets USING btree (webhook_id) WHERE (valid_until IS NULL);

CREATE INDEX webhook_secrets_webhook_id ON public.webhook_secrets USING btree (webhook_id);

CREATE INDEX webhooks_user_id ON public.webhooks USING btree (user_id, created_at);

CREATE TRIGGER job_requests_escrow_transition BEFORE INSERT OR UPDATE OF escrow_status ON public.job_requests FOR EACH ROW EXECUTE FUNCTION public.check_transition('escrow', 'escrow_status');

CREATE TRIGGER job_requests_transition BEFORE INSERT OR UPDATE OF status ON public.job_requests FOR EACH ROW EXECUTE FUNCTION public.check_transition('job', 'status');

CREATE TRIGGER nonces_deleted AFTER DELETE ON public.nonces REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION public.note_requests_for_reports();

CREATE TRIGGER nonces_emptied AFTER TRUNCATE ON public.nonces FOR EACH STATEMENT EXECUTE FUNCTION public.count_reports_anew();

CREATE TRIGGER nonces_inserted AFTER INSERT ON public.nonces REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION public.note_requests_for_reports();

CREATE TRIGGER nonces_updated AFTER UPDATE ON public.nonces FOR EACH ROW WHEN ((((((((old.nonce IS DISTINCT FROM new.nonce) OR (old.user_id IS DISTINCT FROM new.user_id)) OR ((old.recipient)::text IS DISTINCT FROM (new.recipient)::text)) OR ((old.mint)::text IS DISTINCT FROM (new.mint)::text)) OR ((old.amount)::numeric IS DISTINCT FROM (new.amount)::numeric)) OR ((old.reference)::text IS DISTINCT FROM (new.reference)::text)) OR (old.expires_at IS DISTINCT FROM new.expires_at))) EXECUTE FUNCTION public.note_changed_request();

CREATE TRIGGER payouts_transition BEFORE INSERT OR UPDATE OF status ON public.payouts FOR EACH ROW EXECUTE FUNCTION public.check_transition('payout', 'status');

CREATE TRIGGER recipients_changed AFTER UPDATE ON public.recipients FOR EACH ROW WHEN (((((((old.address)::text IS DISTINCT FROM (new.address)::text) OR (old.user_id IS DISTINCT FROM new.user_id)) OR (old.owned_since IS DISTINCT FROM new.owned_since)) OR (old.active IS DISTINCT FROM new.active)) OR (old.removed_at IS DISTINCT FROM new.removed_at))) EXECUTE FUNCTION public.note_recipient_for_reports();

CREATE TRIGGER recipients_deleted AFTER DELETE ON public.recipients FOR EACH ROW EXECUTE FUNCTION public.note_recipient_for_reports();

CREATE TRIGGER recipients_emptied AFTER TRUNCATE ON public.recipients FOR EACH STATEMENT EXECUTE FUNCTION public.count_reports_anew();

CREATE TRIGGER recipients_inserted AFTER INSERT ON public.recipients FOR EACH ROW EXECUTE FUNCTION public.note_recipient_for_reports();

CREATE TRIGGER settlements_transition BEFORE INSERT OR UPDATE OF status ON public.settlements FOR EACH ROW EXECUTE FUNCTION public.check_transition('settlement', 'status');

CREATE TRIGGER transactions_deleted AFTER DELETE ON public.transactions REFERENCING OLD TABLE AS there_before FOR EACH STATEMENT EXECUTE FUNCTION public.note_claim_changes();

CREATE TRIGGER transactions_deleted_for_reports AFTER DELETE ON public.transactions REFERENCING OLD TABLE AS there_before FOR EACH STATEMENT EXECUTE FUNCTION public.note_claims_for_reports();

CREATE TRIGGER transactions_emptied AFTER TRUNCATE ON public.transactions FOR EACH STATEMENT EXECUTE FUNCTION public.count_reports_anew();

CREATE TRIGGER transactions_given_back BEFORE INSERT OR UPDATE OF status ON public.transactions FOR EACH ROW WHEN (public.claim_holds_transfer(new.status)) EXECUTE FUNCTION public.leave_what_was_given_back();

CREATE TRIGGER transactions_inserted AFTER INSERT ON public.transactions REFERENCING NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION public.note_claim_changes();

CREATE TRIGGER transactions_inserted_for_reports AFTER INSERT ON public.transactions REFERENCING NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION public.note_claims_for_reports();

CREATE TRIGGER transactions_transition BEFORE INSERT OR UPDATE OF status ON public.transactions FOR EACH ROW EXECUTE FUNCTION public.check_transition('claim', 'status');

CREATE TRIGGER transactions_updated AFTER UPDATE ON public.transactions REFERENCING OLD TABLE AS there_before NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION public.note_claim_changes();

CREATE TRIGGER transactions_updated_for_reports AFTER UPDATE ON public.transactions REFERENCING OLD TABLE AS there_before NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION public.note_claims_for_reports();

CREATE TRIGGER transfers_credited AFTER INSERT ON public.transfers REFERENCING NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION public.note_new_credits();

CREATE TRIGGER transfers_credited_otherwise AFTER UPDATE ON public.transfers FOR EACH ROW WHEN (((public.transfer_counts(old.finality, old.awaits_witness_since) <> public.transfer_counts(new.finality, new.awaits_witness_since)) OR ((((((((((((((((old.signature)::text IS DISTINCT FROM (new.signature)::text) OR (old.path IS DISTINCT FROM new.path)) OR (old.kind IS DISTINCT FROM new.kind)) OR ((old.mint)::text IS DISTINCT FROM (new.mint)::text)) OR ((old.source)::text IS DISTINCT FROM (new.source)::text)) OR ((old.destination)::text IS DISTINCT FROM (new.destination)::text)) OR ((old.source_owner)::text IS DISTINCT FROM (new.source_owner)::text)) OR ((old.destination_owner)::text IS DISTINCT FROM (new.destination_owner)::text)) OR ((old.amount)::numeric IS DISTINCT FROM (new.amount)::numeric)) OR ((old.fee)::numeric IS DISTINCT FROM (new.fee)::numeric)) OR (old.block_time IS DISTINCT FROM new.block_time)) OR (old.notified_at IS DISTINCT FROM new.notified_at)) OR (old.recorded_at IS DISTINCT FROM new.recorded_at)) OR (old.reference_keys IS DISTINCT FROM new.reference_keys)) OR (old.memos IS DISTINCT FROM new.memos)))) EXECUTE FUNCTION public.note_changed_credit();

CREATE TRIGGER transfers_emptied AFTER TRUNCATE ON public.transfers FOR EACH STATEMENT EXECUTE FUNCTION public.count_reports_anew();

CREATE TRIGGER transfers_removed AFTER DELETE ON public.transfers FOR EACH ROW EXECUTE FUNCTION public.note_changed_credit();

ALTER TABLE ONLY public.agent_services
    ADD CONSTRAINT agent_services_price_mint_fkey FOREIGN KEY (price_mint) REFERENCES public.tokens(mint);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_replaced_by_fkey FOREIGN KEY (replaced_by) REFERENCES public.api_keys(key_prefix);

ALTER TABLE ONLY public.finding_decisions
    ADD CONSTRAINT finding_decisions_refund_signature_refund_path_fkey FOREIGN KEY (refund_signature, refund_path) REFERENCES public.transfers(signature, path);

ALTER TABLE ONLY public.former_recipients
    ADD CONSTRAINT former_recipients_address_fkey FOREIGN KEY (address) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.job_fundings
    ADD CONSTRAINT job_fundings_claim_id_fkey FOREIGN KEY (claim_id) REFERENCES public.transactions(id);

ALTER TABLE ONLY public.job_fundings
    ADD CONSTRAINT job_fundings_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job_requests(id);

ALTER TABLE ONLY public.job_requests
    ADD CONSTRAINT job_requests_service_id_fkey FOREIGN KEY (service_id) REFERENCES public.agent_services(id);

ALTER TABLE ONLY public.job_requests
    ADD CONSTRAINT job_requests_settlement_wallet_fkey FOREIGN KEY (settlement_wallet) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.nonces
    ADD CONSTRAINT nonces_recipient_fkey FOREIGN KEY (recipient) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.payout_attempts
    ADD CONSTRAINT payout_attempts_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES public.payouts(id);

ALTER TABLE ONLY public.payout_redirects
    ADD CONSTRAINT payout_redirects_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES public.payouts(id);

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

ALTER TABLE ONLY public.settlements
    ADD CONSTRAINT settlements_claim_id_fkey FOREIGN KEY (claim_id) REFERENCES public.transactions(id);

ALTER TABLE ONLY public.settlements
    ADD CONSTRAINT settlements_pay_to_fkey FOREIGN KEY (pay_to) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.token_accounts
    ADD CONSTRAINT token_accounts_recipient_fkey FOREIGN KEY (recipient) REFERENCES public.recipients(address);

ALTER TABLE ONLY public.transactions
    ADD CONSTRAINT transactions_signature_path_fkey FOREIGN KEY (signature, path) REFERENCES public.transfers(signature, path);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_feed_id_fkey FOREIGN KEY (feed_id) REFERENCES public.feed(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES public.webhooks(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_secrets
    ADD CONSTRAINT webhook_secrets_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES public.webhooks(id) ON DELETE CASCADE;
