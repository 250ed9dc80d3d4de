CREATE INDEX settlements_user_id_created_at ON settlements (user_id, created_at);
DROP INDEX settlements_user_id_status_created_at;
DROP INDEX settlements_status_created_at;
DROP INDEX payouts_status_created_at;
DROP INDEX job_requests_provider_user_id_status;
DROP INDEX job_requests_client_user_id_status;
