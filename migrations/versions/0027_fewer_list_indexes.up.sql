-- Two indexes that cost recording more than their lists are worth: the payer's and the mint's own index bound them too.
DROP INDEX transfers_destination_owner_source_owner_slot;
DROP INDEX transfers_destination_owner_mint_slot;
