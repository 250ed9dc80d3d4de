-- A payment request may outlive its wallet's being its merchant's: what the next owner is paid is not for it.
CREATE FUNCTION wallet_was_of(wallet text, of_user text, paid timestamptz) RETURNS boolean
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT EXISTS (
      SELECT FROM recipients AS r
      WHERE r.address = wallet AND r.user_id = of_user
        AND (r.owned_since IS NULL OR paid >= r.owned_since) AND (r.active OR paid < r.removed_at)
    ) OR EXISTS (
      SELECT FROM former_recipients AS f
      WHERE f.address = wallet AND f.user_id = of_user
        AND (f.owned_since IS NULL OR paid >= f.owned_since) AND paid < f.owned_until
    );
  END;
COMMENT ON FUNCTION wallet_was_of IS 'True for a wallet that was followed for a user when it was paid';

-- What reports say of payment requests depends on it.
DROP TRIGGER recipients_renamed ON recipients;
CREATE TRIGGER recipients_changed AFTER UPDATE ON recipients FOR EACH ROW
  WHEN (
    (OLD.address, OLD.user_id, OLD.owned_since, OLD.active, OLD.removed_at)
    IS DISTINCT FROM (NEW.address, NEW.user_id, NEW.owned_since, NEW.active, NEW.removed_at)
  )
  EXECUTE FUNCTION note_recipient_for_reports();
COMMENT ON FUNCTION note_recipient_for_reports IS 'Notes for reports that a wallet is a recipient, is none any more, or is another user''s';
