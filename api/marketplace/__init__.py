"""Services, jobs and the marketplace in figures."""
