-- name: payment_standings
-- Of each wallet and message, in their order: the wallet, and what became of the message's settlement if it has one.
SELECT
  r.address, r.user_id, r.label, r.followed_from_slot, r.active, r.created_at, r.removed_at, r.environment,
  s.status, s.reason, s.detail, s.answered_at
FROM unnest(:wallets::text[], :message_hashes::bytea[]) WITH ORDINALITY AS asked (wallet, message_hash, place)
LEFT JOIN recipients AS r ON r.address = asked.wallet
LEFT JOIN settlements AS s ON s.message_hash = asked.message_hash
ORDER BY asked.place;
