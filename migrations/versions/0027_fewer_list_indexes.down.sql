CREATE INDEX transfers_destination_owner_source_owner_slot ON transfers (destination_owner, source_owner, slot DESC);
CREATE INDEX transfers_destination_owner_mint_slot ON transfers (destination_owner, mint, slot DESC);
