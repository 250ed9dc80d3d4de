ALTER TABLE feed_position DROP COLUMN matched_until;
