DELETE FROM settlement_budgets WHERE scope IN ('keyless', 'keyless_merchant');
ALTER TABLE settlement_budgets
  DROP CONSTRAINT settlement_budget_keyless,
  DROP CONSTRAINT settlement_budget_keyless_merchant,
  DROP CONSTRAINT settlement_budgets_scope_check,
  ADD CONSTRAINT settlement_budgets_scope_check CHECK (scope IN ('all', 'merchant', 'payer'));
COMMENT ON TABLE settlement_budgets IS 'Lamports of fees that settlements of one day, in UTC, have reserved: of all, of a merchant, of a payer';
