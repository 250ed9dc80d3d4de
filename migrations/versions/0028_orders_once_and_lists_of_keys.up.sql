-- The same stretch of history waits for an indexer once, however often it is ordered.
UPDATE backfill_requests AS again
SET status = 'failed', error = 'the same was ordered before it', finished_at = clock_timestamp()
WHERE again.status = 'queued' AND EXISTS (
  SELECT FROM backfill_requests AS first
  WHERE first.status = 'queued' AND (first.created_at, first.id) < (again.created_at, again.id)
    AND (first.recipient, first.signature, first.from_slot, first.to_slot)
      IS NOT DISTINCT FROM (again.recipient, again.signature, again.from_slot, again.to_slot)
);
CREATE UNIQUE INDEX backfill_requests_queued ON backfill_requests (recipient, signature, from_slot, to_slot)
  NULLS NOT DISTINCT WHERE status = 'queued';

-- Pages of everybody's keys and wallets, in the order in which they are listed.
CREATE INDEX api_keys_created_at ON api_keys (created_at DESC, key_prefix);
CREATE INDEX recipients_created_at ON recipients (created_at, address) WHERE active;
