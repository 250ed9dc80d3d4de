-- name: note_missing!
-- No node knows the transactions of these claims; remember the block height at which that was first seen, or that none is
-- higher.
UPDATE transactions SET missing_at_height = :height
WHERE id = ANY(:ids::uuid[]) AND status = 'pending' AND (missing_at_height IS NULL OR missing_at_height > :height);

-- name: note_found!
-- The transactions of these claims are on the chain after all.
UPDATE transactions SET missing_at_height = NULL
WHERE id = ANY(:ids::uuid[]) AND status = 'pending' AND missing_at_height IS NOT NULL;

-- name: followed_among
-- Which of these wallets are followed.
SELECT address FROM recipients WHERE active AND address = ANY(:wallets::text[]);
