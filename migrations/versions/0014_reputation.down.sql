DROP TABLE payout_redirects;
DROP FUNCTION job_earns_reputation;
DROP TABLE agent_ids;
