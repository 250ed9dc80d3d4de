DROP TABLE events, balance_changes, transfers, token_accounts, recipients, tokens;
DROP FUNCTION paid_at(timestamptz, timestamptz, timestamptz);
DROP TYPE finality;
DROP DOMAIN base_units, signature, address;
