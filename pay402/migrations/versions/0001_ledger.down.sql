DROP TABLE events, balance_changes, transfers, token_accounts, recipients, tokens;
DROP TYPE finality;
DROP DOMAIN base_units, signature, address;
