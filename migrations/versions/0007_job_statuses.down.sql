DROP FUNCTION escrow_is_settled;
DROP FUNCTION escrow_is_held;
DROP FUNCTION job_has_ended;
DROP FUNCTION job_is_open;
