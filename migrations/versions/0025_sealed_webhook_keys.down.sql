-- What is sealed cannot be opened without the key, which the database has not: these webhooks are rotated or made anew.
DELETE FROM webhooks WHERE id IN (SELECT webhook_id FROM webhook_secrets WHERE sealed_by IS NOT NULL);
ALTER TABLE webhook_secrets DROP COLUMN sealed_by;
