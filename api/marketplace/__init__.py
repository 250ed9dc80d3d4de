"""Services, jobs, and the totals of the marketplace."""
