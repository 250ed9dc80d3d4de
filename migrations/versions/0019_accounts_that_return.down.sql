ALTER TABLE heartbeats DROP COLUMN accounts_waiting;
ALTER TABLE token_accounts DROP COLUMN returned_slot;
