-- name: tokens
-- Every token that requests of a network may name.
SELECT mint, symbol, decimals FROM tokens WHERE network IS NULL OR network = :network;
