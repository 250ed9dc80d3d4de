-- Who is paid is told of payments that name nothing and that nobody claims in time; each is looked at once.
ALTER TABLE feed_position ADD COLUMN matched_until timestamptz NOT NULL DEFAULT clock_timestamp();
COMMENT ON COLUMN feed_position.matched_until IS 'Transfers that were final before then have been looked at for their claims';
