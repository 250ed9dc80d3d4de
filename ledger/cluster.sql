-- name: named_cluster$
-- The genesis hash of the cluster that this ledger is about; null before its first use.
SELECT genesis_hash FROM cluster;

-- name: name_cluster!
-- At the first use: what is recorded from now on is of this cluster. Whoever comes second changes nothing.
INSERT INTO cluster (genesis_hash, network) VALUES (:genesis_hash, :network) ON CONFLICT DO NOTHING;
