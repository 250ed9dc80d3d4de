CREATE TABLE console_sessions (
  token_hash text PRIMARY KEY CHECK (token_hash ~ '^[0-9a-f]{64}$'),
  key_prefix text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX console_sessions_key_prefix ON console_sessions (key_prefix, created_at);
CREATE INDEX console_sessions_expires_at ON console_sessions (expires_at);
COMMENT ON TABLE console_sessions IS 'A browser that is signed in at the console; it ends with the key that it was signed in with';
COMMENT ON COLUMN console_sessions.token_hash IS 'SHA-256 of what the browser has in its cookie, in hexadecimal; that has 256 random bits';

-- Everybody's payment requests, newest first; a merchant's own have an index already.
CREATE INDEX nonces_created_at ON nonces (created_at, nonce);
