CREATE TABLE webhooks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('live', 'test')),
  url text NOT NULL CHECK (char_length(url) BETWEEN 1 AND 2048),
  types text[],
  description text NOT NULL DEFAULT '' CHECK (char_length(description) <= 256),
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
  disabled_reason text,
  failing_since timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhooks_user_id ON webhooks (user_id, created_at);
COMMENT ON TABLE webhooks IS 'An address that is sent what happens to a user''s money';
COMMENT ON COLUMN webhooks.types IS 'Which types of events it is sent; null for every one';
COMMENT ON COLUMN webhooks.failing_since IS 'Since when every delivery has failed';

-- Apart from the webhooks, so that only the worker, which signs, may read them.
CREATE TABLE webhook_secrets (
  webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_until timestamptz,
  secret bytea NOT NULL,
  signing_seed bytea NOT NULL,
  public_key bytea NOT NULL
);
CREATE INDEX webhook_secrets_webhook_id ON webhook_secrets (webhook_id);
CREATE UNIQUE INDEX webhook_secrets_newest ON webhook_secrets (webhook_id) WHERE valid_until IS NULL;
COMMENT ON TABLE webhook_secrets IS 'What deliveries are signed with: the newest, and for a while the one before';
COMMENT ON COLUMN webhook_secrets.secret IS 'Of HMAC-SHA256; its receiver has it too';
COMMENT ON COLUMN webhook_secrets.signing_seed IS 'Of ed25519; nobody else has it';

CREATE TABLE webhook_deliveries (
  webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
  feed_id bigint NOT NULL REFERENCES feed ON DELETE CASCADE,
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
  tries int NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  answered_at timestamptz,
  answer_status int,
  answer_start text,
  answer_ms int,
  error text,
  PRIMARY KEY (webhook_id, feed_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_try_at, feed_id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_feed_id ON webhook_deliveries (feed_id);
COMMENT ON TABLE webhook_deliveries IS 'An entry of the feed that is to be sent, or was, and what became of the last try';
COMMENT ON COLUMN webhook_deliveries.next_try_at IS 'While a worker is at it: when another may take it, should that one have died';
