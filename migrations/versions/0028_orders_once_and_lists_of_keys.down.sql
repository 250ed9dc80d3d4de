DROP INDEX recipients_created_at;
DROP INDEX api_keys_created_at;
DROP INDEX backfill_requests_queued;
