-- Anybody may have a payment settled without an API key, for dust too. What that costs counts against budgets of its own,
-- so that sales with a key keep theirs.
ALTER TABLE settlement_budgets
  DROP CONSTRAINT settlement_budgets_scope_check,
  ADD CONSTRAINT settlement_budgets_scope_check CHECK (
    scope IN ('all', 'merchant', 'payer', 'keyless', 'keyless_merchant')
  ),
  ADD CONSTRAINT settlement_budget_keyless CHECK (scope <> 'keyless' OR lamports <= lamports_max),
  ADD CONSTRAINT settlement_budget_keyless_merchant CHECK (scope <> 'keyless_merchant' OR lamports <= lamports_max);
COMMENT ON TABLE settlement_budgets IS 'Lamports of fees that settlements of one day, in UTC, have reserved: of all, of a merchant, of a payer; without an API key of all such, and of a merchant instead of its own';
