-- As before.
DROP TRIGGER transfers_credited_otherwise ON transfers;
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

CREATE OR REPLACE FUNCTION note_changed_credit() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION note_new_credits() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE VIEW analytics.transfers AS
SELECT
  t.signature,
  t.path,
  t.slot,
  t.block_time,
  t.recorded_at,
  t.kind,
  t.mint,
  coalesce(k.symbol, t.mint::text) AS symbol,
  t.source_owner,
  t.destination_owner,
  r.user_id,
  analytics.figure(t.amount, k.decimals) AS amount,
  analytics.figure(t.fee, k.decimals) AS fee,
  analytics.figure(t.amount - t.fee, k.decimals) AS credited,
  t.amount::numeric AS amount_base_units,
  t.fee::numeric AS fee_base_units,
  (t.amount - t.fee)::numeric AS credited_base_units,
  t.finality::text AS finality
FROM transfers AS t
LEFT JOIN tokens AS k ON k.mint = t.mint
LEFT JOIN recipients AS r ON r.address = t.destination_owner;
COMMENT ON COLUMN analytics.transfers.finality IS 'confirmed, finalized, or orphaned: undone by a fork';

DROP FUNCTION shown_finality(finality, timestamptz);

UPDATE report_state SET counted_at = NULL;
