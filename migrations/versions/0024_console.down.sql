DROP INDEX nonces_created_at;
DROP TABLE console_sessions;
