COMMENT ON COLUMN report_findings.user_id IS
  'Whose request it is about; null for what names none, which is the wallet''s owner''s';
DROP FUNCTION wallet_user_at(text, timestamptz);
INSERT INTO report_recipient_changes (recipient) SELECT DISTINCT address FROM former_recipients;
