-- A list is read from each status in turn, newest first, so that one index serves it with and without a filter.
CREATE INDEX job_requests_client_user_id_status ON job_requests (client_user_id, status, created_at, id);
CREATE INDEX job_requests_provider_user_id_status ON job_requests (provider_user_id, status, created_at, id);
CREATE INDEX payouts_status_created_at ON payouts (status, created_at, id);
CREATE INDEX settlements_status_created_at ON settlements (status, created_at, id);
CREATE INDEX settlements_user_id_status_created_at ON settlements (user_id, status, created_at, id);
-- Nothing asks for a user's settlements of all statuses in one.
DROP INDEX settlements_user_id_created_at;
