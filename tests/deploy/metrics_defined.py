"""Every metric that a process of ours defines, with its labels, read off the classes themselves."""

from pay402.api.metrics import ApiMetrics
from pay402.indexer.metrics import IndexerMetrics
from pay402.ops.backup import BackupMetrics
from pay402.runtime.metrics import new_registry

# Agreed with the worker, which is not here yet: to be removed with it.
AWAITED = {
    "pay402_worker_runs_total": {"job", "outcome"},
    "pay402_worker_run_seconds_bucket": {"job"},
    "pay402_claims": {"status"},
    "pay402_oldest_pending_claim_seconds": set(),
    "pay402_missed_payments_total": set(),
    "pay402_payouts": {"status"},
    "pay402_oldest_open_payout_seconds": set(),
    "pay402_payouts_waiting": {"reason"},
    "pay402_unmatched_transfers": set(),
    "pay402_invariant_violations": {"invariant"},
}
# Of others: Prometheus itself and node_exporter.
FOREIGN = {
    "up": set(),
    "node_filesystem_avail_bytes": {"fstype", "mountpoint", "device"},
    "node_filesystem_size_bytes": {"fstype", "mountpoint", "device"},
}
# Prometheus gives these to every series; where a metric has a label of the same name, that is renamed.
OF_THE_SCRAPE = {"job", "instance"}


def as_scraped(labels):
    return {f"exported_{label}" if label in OF_THE_SCRAPE else label for label in labels}


def defined_in(registry):
    """Names as Prometheus sees them, with their labels."""
    # What has no labels shows itself; what has some knows its names before the first sample.
    samples = [sample.name for family in registry.collect() for sample in family.samples]
    found = {name: set() for name in samples if not name.endswith("_created")}
    for collector, names in list(registry._collector_to_names.items()):
        for name in names:
            parts = {f"{name}_total", f"{name}_bucket"} & set(names)
            if not parts and not name.endswith("_created"):
                labels = as_scraped(getattr(collector, "_labelnames", ()))
                found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return found


def ours():
    registry = new_registry()
    for kind in (IndexerMetrics, ApiMetrics, BackupMetrics):
        kind(registry)
    return defined_in(registry)


def defined():
    """Everything that a query may name."""
    awaited = {
        name: as_scraped(labels) | ({"le"} if name.endswith("_bucket") else set()) for name, labels in AWAITED.items()
    }
    return ours() | awaited | FOREIGN
