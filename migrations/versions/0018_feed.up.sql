-- Ids of `events` are drawn when a row is written and seen when it is committed, so a reader that goes on from the
-- highest id skips what commits late. Here one writer at a time numbers what is committed, in an order that holds.
CREATE TABLE feed (
  id bigint PRIMARY KEY,
  event_id bigint NOT NULL,
  type text NOT NULL,
  user_id text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('live', 'test')),
  at timestamptz NOT NULL,
  published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  body text NOT NULL,
  UNIQUE (event_id, type, user_id)
);
CREATE INDEX feed_user_id_id ON feed (user_id, id) INCLUDE (type, environment);
CREATE INDEX feed_published_at ON feed (published_at);
COMMENT ON TABLE feed IS 'What happened, as the user whose it is sees it, numbered in the order of its publication';
COMMENT ON COLUMN feed.event_id IS 'The row of events it was made of';
COMMENT ON COLUMN feed.at IS 'When it happened';
COMMENT ON COLUMN feed.body IS 'The JSON that every reader gets, byte by byte';

CREATE TABLE feed_position (
  is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
  event_id bigint NOT NULL,
  feed_id bigint NOT NULL,
  pruned_feed_id bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE feed_position IS 'How far events are published; whoever publishes holds its one row';
COMMENT ON COLUMN feed_position.event_id IS 'Every event up to this one is published, but for feed_gaps';
COMMENT ON COLUMN feed_position.feed_id IS 'The newest row of the feed';
COMMENT ON COLUMN feed_position.pruned_feed_id IS 'The newest row of the feed that was removed for its age';

CREATE TABLE feed_gaps (
  event_id bigint PRIMARY KEY,
  writers text[] NOT NULL
);
COMMENT ON TABLE feed_gaps IS 'Ids below the position that were not committed when it passed them';
COMMENT ON COLUMN feed_gaps.writers IS 'The transactions that may still commit it; once they have ended, it never comes';

-- What happened before is history, not news. Whoever writes now has committed before the position is taken.
LOCK TABLE events IN SHARE MODE;
INSERT INTO feed_position (event_id, feed_id) SELECT coalesce(max(id), 0), 0 FROM events;
