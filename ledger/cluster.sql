-- name: named_cluster$
-- The genesis hash of the cluster that this ledger is about; null before its first use.
SELECT genesis_hash FROM cluster;

-- name: may_name_cluster$
-- True when this login may name the cluster: the indexer's, the worker's and the owner's may, the API's may not.
SELECT has_table_privilege('cluster', 'INSERT');

-- name: name_cluster!
-- At the first use: what is recorded from now on is of this cluster. Whoever comes second changes nothing.
INSERT INTO cluster (genesis_hash, network) VALUES (:genesis_hash, :network) ON CONFLICT DO NOTHING;
