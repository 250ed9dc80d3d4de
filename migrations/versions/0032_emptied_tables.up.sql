-- TRUNCATE, as in deploy/postgres/empty-ledger.sql, runs no trigger of rows. It waits for a report that is being made.
CREATE FUNCTION count_reports_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE report_state SET counted_at = NULL;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION count_reports_anew IS 'Has the next report count everything from the whole ledger';
CREATE TRIGGER transfers_emptied AFTER TRUNCATE ON transfers
FOR EACH STATEMENT EXECUTE FUNCTION count_reports_anew();
CREATE TRIGGER transactions_emptied AFTER TRUNCATE ON transactions
FOR EACH STATEMENT EXECUTE FUNCTION count_reports_anew();
CREATE TRIGGER nonces_emptied AFTER TRUNCATE ON nonces
FOR EACH STATEMENT EXECUTE FUNCTION count_reports_anew();
CREATE TRIGGER recipients_emptied AFTER TRUNCATE ON recipients
FOR EACH STATEMENT EXECUTE FUNCTION count_reports_anew();
