-- As before.
COMMENT ON FUNCTION note_recipient_for_reports IS 'Notes for reports that a wallet is a recipient, or is none any more';
DROP TRIGGER recipients_changed ON recipients;
CREATE TRIGGER recipients_renamed AFTER UPDATE ON recipients FOR EACH ROW
  WHEN (OLD.address IS DISTINCT FROM NEW.address)
  EXECUTE FUNCTION note_recipient_for_reports();
DROP FUNCTION wallet_was_of(text, text, timestamptz);
