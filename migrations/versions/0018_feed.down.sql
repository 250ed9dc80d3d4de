DROP TABLE feed, feed_position, feed_gaps;
