-- name: note_missing!
-- No node knows the transactions of these claims; remember the block height at which that was first seen. One that a lifetime
-- of blocks has not brought about was made up: then the height of now.
UPDATE transactions SET missing_at_height = :height
WHERE id = ANY(:ids::uuid[]) AND status = 'pending'
  AND (missing_at_height IS NULL OR missing_at_height > :height + :lifetime_blocks::bigint);

-- name: note_found!
-- The transactions of these claims are on the chain after all.
UPDATE transactions SET missing_at_height = NULL
WHERE id = ANY(:ids::uuid[]) AND status = 'pending' AND missing_at_height IS NOT NULL;

-- name: followed_among
-- Which of these wallets are followed.
SELECT address FROM recipients WHERE active AND address = ANY(:wallets::text[]);
