DROP TRIGGER recipients_emptied ON recipients;
DROP TRIGGER nonces_emptied ON nonces;
DROP TRIGGER transactions_emptied ON transactions;
DROP TRIGGER transfers_emptied ON transfers;
DROP FUNCTION count_reports_anew;
