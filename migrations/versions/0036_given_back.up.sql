-- A merchant who gave a payment back and had that noted owes nothing for it any more: no claim may take its transfer. Nor
-- may one take the transfer that gave it back, which would count twice.
CREATE FUNCTION transfer_pays_nothing(of_signature text, of_path text) RETURNS boolean
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT EXISTS (
      SELECT FROM finding_decisions AS d
      WHERE d.action = 'refunded' AND d.signature = of_signature AND d.path = of_path
    ) OR EXISTS (
      SELECT FROM finding_decisions AS d
      WHERE d.action = 'refunded' AND d.refund_signature = of_signature AND d.refund_path = of_path
    );
  END;
COMMENT ON FUNCTION transfer_pays_nothing IS 'True for a transfer that was given back, whole or in part, and for one that gave another back';

-- Left out like a claim that comes second, not refused by an error: the other claims of a statement stand. A claim that
-- took its transfer before it was given back keeps it.
CREATE FUNCTION leave_what_was_given_back() RETURNS trigger
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
COMMENT ON FUNCTION leave_what_was_given_back IS 'Leaves out a claim that would take a transfer that was given back, or that gave another back';

CREATE TRIGGER transactions_given_back BEFORE INSERT OR UPDATE OF status ON transactions
  FOR EACH ROW WHEN (claim_holds_transfer(NEW.status)) EXECUTE FUNCTION leave_what_was_given_back();
