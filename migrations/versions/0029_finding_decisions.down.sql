DROP INDEX reconciliation_runs_done;
DROP FUNCTION newest_findings(text, text);
DROP FUNCTION transfers_back(text, text);
DROP TABLE finding_decisions;
DROP FUNCTION finding_refundable(jsonb);
DROP FUNCTION finding_id(jsonb);
