-- A payment is honoured only once a second node has seen it, where there are two. What one node alone knows waits here,
-- and is contested when another that has seen its slot does not know it. Rows that are there already have been trusted.
ALTER TABLE transfers ADD COLUMN awaits_witness_since timestamptz;
ALTER TABLE transfers ADD COLUMN contested_at timestamptz;
ALTER TABLE transfers ADD CONSTRAINT transfers_contested_awaits_witness
  CHECK (contested_at IS NULL OR awaits_witness_since IS NOT NULL) NOT VALID;
ALTER TABLE transfers VALIDATE CONSTRAINT transfers_contested_awaits_witness;
CREATE INDEX transfers_awaiting_witness ON transfers (awaits_witness_since) WHERE awaits_witness_since IS NOT NULL;
COMMENT ON COLUMN transfers.awaits_witness_since IS 'Set while too few nodes have seen it to be honoured';
COMMENT ON COLUMN transfers.contested_at IS 'When another node that had seen its slot did not know it, or contradicted it';
