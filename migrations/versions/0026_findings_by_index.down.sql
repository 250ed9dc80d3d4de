DROP INDEX transactions_overpaid;
DROP INDEX transactions_unpaid;
