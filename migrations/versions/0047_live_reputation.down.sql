DROP FUNCTION job_counts(text, text, text);
