-- As before.
DROP TRIGGER transactions_given_back ON transactions;
DROP FUNCTION leave_what_was_given_back(), transfer_pays_nothing(text, text);
