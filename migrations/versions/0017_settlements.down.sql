DROP TABLE settlement_budgets;
DROP TABLE settlements;
DROP FUNCTION settlement_is_open;
DROP TYPE settlement_status;
DELETE FROM state_transitions WHERE machine = 'settlement';
