ALTER TABLE agent_services DROP COLUMN environment;
