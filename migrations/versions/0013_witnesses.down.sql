ALTER TABLE transfers DROP COLUMN contested_at, DROP COLUMN awaits_witness_since;
