"""What every process opens: settings, database, logs, metrics, embedded servers."""
