"""Every metric that a process of ours defines, with its labels, read off the classes themselves."""

from api.metrics import ApiMetrics
from cli.backups.metrics import BackupMetrics
from indexer.metrics import IndexerMetrics
from runtime.metrics import new_registry
from worker.metrics import WorkerMetrics

# Of others: Prometheus itself, node_exporter and kube-state-metrics.
FOREIGN = {
    "up": set(),
    "kube_cronjob_status_last_successful_time": {"namespace", "cronjob"},
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
    found = {}
    for kind in (IndexerMetrics, ApiMetrics, WorkerMetrics, BackupMetrics):
        # Each on its own registry, as in a process of its own: some names are shared.
        registry = new_registry()
        kind(registry)
        found |= defined_in(registry)
    return found


def defined():
    """Everything that a query may name."""
    return ours() | FOREIGN
