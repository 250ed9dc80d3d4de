-- Whose a payment to a wallet is that nobody has claimed: the user's whose the wallet was when it was paid.
CREATE FUNCTION wallet_user_at(wallet text, paid timestamptz) RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT coalesce(
      (
        SELECT f.user_id FROM former_recipients AS f
        WHERE f.address = wallet AND paid < f.owned_until AND (f.owned_since IS NULL OR paid >= f.owned_since)
        LIMIT 1
      ),
      (SELECT r.user_id FROM recipients AS r WHERE r.address = wallet)
    );
  END;
COMMENT ON FUNCTION wallet_user_at IS 'Whose a wallet was when it was paid; the present user''s where nobody had it then';
COMMENT ON COLUMN report_findings.user_id IS
  'Whose request it is about, or whose the wallet was; null for what names no request and is the wallet''s present owner''s';

-- What is kept of wallets that have changed hands is counted anew.
INSERT INTO report_recipient_changes (recipient) SELECT DISTINCT address FROM former_recipients;
