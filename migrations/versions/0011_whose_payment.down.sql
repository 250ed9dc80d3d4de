DROP TABLE former_recipients;
ALTER TABLE recipients DROP COLUMN owned_since, DROP COLUMN environment;
ALTER TABLE api_keys DROP COLUMN proof_version;
ALTER TABLE nonces DROP COLUMN final_only, DROP COLUMN proof_version;
DROP FUNCTION least_equal_amount(numeric, integer);
DROP FUNCTION whole_units(double precision);
DROP FUNCTION moves_money(text, text, text, text);
DROP INDEX transactions_payer_nonce;
ALTER TABLE transactions DROP COLUMN for_request;
