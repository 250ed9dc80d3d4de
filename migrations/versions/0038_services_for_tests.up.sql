-- A test key changes no live service, and what it offers is ordered with test keys alone. What is there already is live.
ALTER TABLE agent_services
  ADD COLUMN environment text NOT NULL DEFAULT 'live' CHECK (environment IN ('live', 'test'));
COMMENT ON COLUMN agent_services.environment IS 'Of the key that offered it: a test key changes no live service';
