-- What a reconciliation reports is kept and brought up to date by what changed. Triggers note changes, as new rows, in
-- the statement that makes them; a report folds the notes into what is kept, in the snapshot in which it reads them.

ALTER TABLE reconciliation_runs ADD COLUMN is_full boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN reconciliation_runs.is_full IS 'What is kept for reports is to be counted anew from the whole ledger, and compared';

CREATE FUNCTION credit_kind(kind text, source text, destination text, source_owner text, destination_owner text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN NOT kind_is_payment(kind) THEN kind
  WHEN moves_money(source, destination, source_owner, destination_owner) THEN 'payment'
  ELSE 'internal'
END;
COMMENT ON FUNCTION credit_kind IS 'As what a report counts a credit: payment, internal between accounts of one owner, or its own kind';

CREATE FUNCTION claim_is_short(status claim_status, code text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN status = 'failed' AND code = 'INSUFFICIENT_AMOUNT';
COMMENT ON FUNCTION claim_is_short IS 'True for a claim that was refused because its transfer was too little';

-- Short payments among claims, by index like the unpaid and the overpaid.
CREATE INDEX transactions_short ON transactions ("timestamp") WHERE status = 'failed' AND code = 'INSUFFICIENT_AMOUNT';

CREATE TABLE report_state (
  is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
  counted_at timestamptz,
  checked_at timestamptz
);
INSERT INTO report_state DEFAULT VALUES;
COMMENT ON TABLE report_state IS 'Whether what reports keep can be trusted; whoever folds changes holds this table';
COMMENT ON COLUMN report_state.counted_at IS 'When it was counted from the whole ledger; null: it has to be';
COMMENT ON COLUMN report_state.checked_at IS 'When it was last compared with the whole ledger';

CREATE TABLE report_credits (
  recipient address NOT NULL,
  mint address NOT NULL,
  kind text NOT NULL,
  transfers bigint NOT NULL,
  credited numeric NOT NULL,
  PRIMARY KEY (recipient, mint, kind)
);
COMMENT ON TABLE report_credits IS 'What each wallet was credited in all, in base units; report_credit_changes is still to be added';

CREATE TABLE report_claims (
  user_id text NOT NULL,
  mint address NOT NULL,
  status claim_status NOT NULL,
  claims bigint NOT NULL,
  claimed numeric NOT NULL,
  received numeric NOT NULL,
  short bigint NOT NULL,
  overpaid bigint NOT NULL,
  PRIMARY KEY (user_id, mint, status)
);
COMMENT ON TABLE report_claims IS 'The claims of a merchant that stand alike, in base units; report_claim_changes is still to be added';

CREATE TABLE report_findings (
  kind text NOT NULL,
  signature signature NOT NULL,
  path text COLLATE "C" NOT NULL,
  user_id text,
  mint address NOT NULL,
  amount numeric NOT NULL,
  expected numeric,
  payer address,
  recipient address NOT NULL,
  nonce text,
  claim_id uuid,
  at timestamptz NOT NULL
);
CREATE INDEX report_findings_signature ON report_findings (signature);
CREATE INDEX report_findings_recipient ON report_findings (recipient);
CREATE INDEX report_findings_kind_at ON report_findings (kind, at, signature, path);
COMMENT ON TABLE report_findings IS 'Transfers that do not match, as of the changes that are folded';
COMMENT ON COLUMN report_findings.user_id IS 'Whose request it is about; null for what names none, which is the wallet''s owner''s';

CREATE TABLE report_finding_totals (
  kind text NOT NULL,
  recipient address NOT NULL,
  mint address NOT NULL,
  findings bigint NOT NULL,
  amount numeric NOT NULL,
  PRIMARY KEY (kind, recipient, mint)
);
COMMENT ON TABLE report_finding_totals IS 'How many findings there are, and what they add up to in base units';

CREATE TABLE report_credit_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  recipient address NOT NULL,
  mint address NOT NULL,
  kind text NOT NULL,
  transfers integer NOT NULL,
  credited numeric NOT NULL,
  slots bigint[] NOT NULL DEFAULT '{}',
  signatures text[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE report_credit_changes IS 'What statements changed about credits, and where';
COMMENT ON COLUMN report_credit_changes.transfers IS 'Credits more; negative where one was undone';
COMMENT ON COLUMN report_credit_changes.slots IS 'Where the new ones landed';
COMMENT ON COLUMN report_credit_changes.signatures IS 'Those that were there before';

CREATE TABLE report_claim_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id text NOT NULL,
  mint address NOT NULL,
  status claim_status NOT NULL,
  claims integer NOT NULL,
  claimed numeric NOT NULL,
  received numeric NOT NULL,
  short integer NOT NULL,
  overpaid integer NOT NULL,
  signatures text[],
  nonces text[]
);
COMMENT ON TABLE report_claim_changes IS 'What statements changed about claims';
COMMENT ON COLUMN report_claim_changes.signatures IS 'Of those that took a transfer, or gave one back';
COMMENT ON COLUMN report_claim_changes.nonces IS 'Of the same: other transfers may name them';

CREATE TABLE report_request_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  nonces text[] NOT NULL,
  reference_keys text[] NOT NULL
);
COMMENT ON TABLE report_request_changes IS 'Payment requests that were made, changed or removed';

CREATE TABLE report_recipient_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  recipient address NOT NULL
);
COMMENT ON TABLE report_recipient_changes IS 'Wallets that are new: what they were credited before counts from now on';

CREATE FUNCTION note_new_credits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO report_credit_changes (recipient, mint, kind, transfers, credited, slots)
  SELECT destination_owner, mint, credit_kind(kind, source, destination, source_owner, destination_owner),
    count(*), sum(amount - fee), array_agg(slot)
  FROM now_there
  WHERE destination_owner IS NOT NULL AND finality <> 'orphaned'
  GROUP BY 1, 2, 3;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_new_credits IS 'Notes for reports what new transfers credited';

CREATE FUNCTION note_changed_credit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' AND OLD.destination_owner IS NOT NULL AND OLD.finality <> 'orphaned' THEN
    INSERT INTO report_credit_changes (recipient, mint, kind, transfers, credited, signatures)
    VALUES (
      OLD.destination_owner, OLD.mint,
      credit_kind(OLD.kind, OLD.source, OLD.destination, OLD.source_owner, OLD.destination_owner),
      -1, OLD.fee - OLD.amount, ARRAY[OLD.signature::text]
    );
  END IF;
  IF TG_OP <> 'DELETE' AND NEW.destination_owner IS NOT NULL AND NEW.finality <> 'orphaned' THEN
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
COMMENT ON FUNCTION note_changed_credit IS 'Notes for reports that a transfer credits something else than before';

CREATE FUNCTION note_claims_for_reports() RETURNS trigger LANGUAGE plpgsql AS $$
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
COMMENT ON FUNCTION note_claims_for_reports IS 'Notes for reports what a statement changed about claims';

CREATE FUNCTION note_requests_for_reports() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO report_request_changes (nonces, reference_keys)
  SELECT array_agg(nonce), array_agg(reference::text) FROM touched HAVING count(*) > 0;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_requests_for_reports IS 'Notes for reports which payment requests were made or removed';

CREATE FUNCTION note_changed_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO report_request_changes (nonces, reference_keys)
  VALUES (ARRAY[OLD.nonce, NEW.nonce], ARRAY[OLD.reference::text, NEW.reference::text]);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_changed_request IS 'Notes for reports that a payment request asks for something else than before';

CREATE FUNCTION note_recipient_for_reports() RETURNS trigger LANGUAGE plpgsql AS $$
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
COMMENT ON FUNCTION note_recipient_for_reports IS 'Notes for reports that a wallet is a recipient, or is none any more';

CREATE TRIGGER transfers_credited AFTER INSERT ON transfers
REFERENCING NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION note_new_credits();
-- By row and condition: what only becomes final, which every transfer does, costs a comparison and no more.
CREATE TRIGGER transfers_credited_otherwise AFTER UPDATE ON transfers FOR EACH ROW
WHEN (
  (OLD.finality = 'orphaned') <> (NEW.finality = 'orphaned')
  OR (
    OLD.signature, OLD.path, OLD.kind, OLD.mint, OLD.source, OLD.destination, OLD.source_owner, OLD.destination_owner,
    OLD.amount, OLD.fee, OLD.block_time, OLD.notified_at, OLD.recorded_at, OLD.reference_keys, OLD.memos
  ) IS DISTINCT FROM (
    NEW.signature, NEW.path, NEW.kind, NEW.mint, NEW.source, NEW.destination, NEW.source_owner, NEW.destination_owner,
    NEW.amount, NEW.fee, NEW.block_time, NEW.notified_at, NEW.recorded_at, NEW.reference_keys, NEW.memos
  )
)
EXECUTE FUNCTION note_changed_credit();
CREATE TRIGGER transfers_removed AFTER DELETE ON transfers
FOR EACH ROW EXECUTE FUNCTION note_changed_credit();

CREATE TRIGGER transactions_inserted_for_reports AFTER INSERT ON transactions
REFERENCING NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION note_claims_for_reports();
CREATE TRIGGER transactions_updated_for_reports AFTER UPDATE ON transactions
REFERENCING OLD TABLE AS there_before NEW TABLE AS now_there
FOR EACH STATEMENT EXECUTE FUNCTION note_claims_for_reports();
CREATE TRIGGER transactions_deleted_for_reports AFTER DELETE ON transactions
REFERENCING OLD TABLE AS there_before FOR EACH STATEMENT EXECUTE FUNCTION note_claims_for_reports();

CREATE TRIGGER nonces_inserted AFTER INSERT ON nonces
REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION note_requests_for_reports();
CREATE TRIGGER nonces_deleted AFTER DELETE ON nonces
REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION note_requests_for_reports();
CREATE TRIGGER nonces_updated AFTER UPDATE ON nonces FOR EACH ROW
WHEN (
  (OLD.nonce, OLD.user_id, OLD.recipient, OLD.mint, OLD.amount, OLD.reference, OLD.expires_at)
  IS DISTINCT FROM (NEW.nonce, NEW.user_id, NEW.recipient, NEW.mint, NEW.amount, NEW.reference, NEW.expires_at)
)
EXECUTE FUNCTION note_changed_request();

CREATE TRIGGER recipients_inserted AFTER INSERT ON recipients
FOR EACH ROW EXECUTE FUNCTION note_recipient_for_reports();
CREATE TRIGGER recipients_renamed AFTER UPDATE ON recipients FOR EACH ROW
WHEN (OLD.address IS DISTINCT FROM NEW.address) EXECUTE FUNCTION note_recipient_for_reports();
CREATE TRIGGER recipients_deleted AFTER DELETE ON recipients
FOR EACH ROW EXECUTE FUNCTION note_recipient_for_reports();
