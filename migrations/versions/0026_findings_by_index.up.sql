-- What a reconciliation looks for among all claims, by index: both are empty while everything matches.
CREATE INDEX transactions_unpaid ON transactions ("timestamp") WHERE NOT claim_is_paid(status);
CREATE INDEX transactions_overpaid ON transactions ("timestamp") WHERE received > amount;
