"""What Prometheus learns of a backup, through a file that node_exporter reads."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from cli.backups.archive import Archive
from runtime.errors import OperatorError


class BackupMetrics:
    """The metrics of a backup that succeeded, on a registry of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.made = Gauge("pay402_backup_timestamp_seconds", "When the last backup was made", registry=registry)
        self.verified = Gauge("pay402_backup_verified", "1 where it was restored and compared", registry=registry)
        self.size = Gauge("pay402_backup_size_bytes", "Size of its dump", registry=registry)


def write_metrics(file: Path, archive: Archive, *, verified: bool) -> None:
    """Write what is known of `archive` to `file`.

    Raises:
        OperatorError: The file cannot be written.
    """
    registry = CollectorRegistry()
    gauges = BackupMetrics(registry)
    gauges.made.set(archive.made_at.timestamp())
    gauges.verified.set(verified)
    gauges.size.set(archive.dump.stat().st_size)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(file), registry)
        # node_exporter is another user; there is nothing secret in it.
        file.chmod(0o644)
    except OSError as error:
        raise OperatorError(
            f"The backup is made, but {file} cannot be written ({error.strerror}); correct --metrics."
        ) from error
