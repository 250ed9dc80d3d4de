-- name: tokens_of_network
-- Every token that requests of a network may name.
SELECT mint, coalesce(symbol, mint::text) AS symbol, decimals
FROM tokens
WHERE network IS NULL OR network = :network;

-- name: tokens_of_mints
-- Symbol and decimals of some mints.
SELECT mint, coalesce(symbol, mint::text) AS symbol, decimals FROM tokens WHERE mint = ANY(:mints::text[]);
