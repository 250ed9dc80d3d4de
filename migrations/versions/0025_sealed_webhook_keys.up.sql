ALTER TABLE webhook_secrets ADD COLUMN sealed_by text;
COMMENT ON COLUMN webhook_secrets.sealed_by IS
  'The name of the key that secret and signing_seed are sealed by; null while they are stored as they are';
