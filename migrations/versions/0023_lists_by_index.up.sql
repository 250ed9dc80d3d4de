-- Lists of transfers by index, whatever they are filtered by. What one slot holds is sorted when it is read: signature
-- and path in every index would make each of them three times as large.

DROP INDEX transfers_destination_owner_slot;
DROP INDEX transfers_source_owner_slot;
CREATE INDEX transfers_destination_owner_slot ON transfers (destination_owner, slot DESC);
CREATE INDEX transfers_source_owner_slot ON transfers (source_owner, slot DESC);
CREATE INDEX transfers_slot ON transfers (slot DESC);
CREATE INDEX transfers_mint_slot ON transfers (mint, slot DESC);
CREATE INDEX transfers_destination_owner_source_owner_slot ON transfers (destination_owner, source_owner, slot DESC);
CREATE INDEX transfers_destination_owner_mint_slot ON transfers (destination_owner, mint, slot DESC);
CREATE INDEX transfers_recorded_at ON transfers (recorded_at, destination_owner);
-- Forks are rare, and these cost nothing until there is one.
CREATE INDEX transfers_orphaned_slot ON transfers (slot DESC) WHERE finality = 'orphaned';
CREATE INDEX transfers_orphaned_destination_owner_slot ON transfers (destination_owner, slot DESC)
  WHERE finality = 'orphaned';
