-- What the statuses of jobs and of their escrow have in common, said once. The planner replaces each call by its list,
-- so that the partial indexes on such lists serve as before.

CREATE FUNCTION job_is_open(status job_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('pending', 'accepted', 'in_progress');
COMMENT ON FUNCTION job_is_open IS 'True for a job that is still to be done';

CREATE FUNCTION job_has_ended(status job_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('approved', 'cancelled', 'expired');
COMMENT ON FUNCTION job_has_ended IS 'True for a job whose money may leave: to its provider, or back to its client';

CREATE FUNCTION escrow_is_held(status escrow_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('escrowed', 'disputed');
COMMENT ON FUNCTION escrow_is_held IS 'True while the settlement wallet holds the price of the job';

CREATE FUNCTION escrow_is_settled(status escrow_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN status IN ('released', 'refunded');
COMMENT ON FUNCTION escrow_is_settled IS 'True once the price of the job has left the settlement wallet, finalized';
