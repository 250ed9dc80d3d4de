-- What a wallet received is its owner's of that time for analysts too. They may not read what `wallet_user_at` reads.
CREATE OR REPLACE VIEW analytics.transfers AS
SELECT
  t.signature,
  t.path,
  t.slot,
  t.block_time,
  t.recorded_at,
  t.kind,
  t.mint,
  coalesce(k.symbol, t.mint::text) AS symbol,
  t.source_owner,
  t.destination_owner,
  CASE
    WHEN r.owned_since IS NULL THEN r.user_id
    ELSE coalesce(
      (
        SELECT f.user_id FROM former_recipients AS f
        WHERE f.address = t.destination_owner AND paid_at(t.block_time, t.notified_at, t.recorded_at) < f.owned_until
          AND (f.owned_since IS NULL OR paid_at(t.block_time, t.notified_at, t.recorded_at) >= f.owned_since)
        LIMIT 1
      ),
      r.user_id
    )
  END AS user_id,
  analytics.figure(t.amount, k.decimals) AS amount,
  analytics.figure(t.fee, k.decimals) AS fee,
  analytics.figure(t.amount - t.fee, k.decimals) AS credited,
  t.amount::numeric AS amount_base_units,
  t.fee::numeric AS fee_base_units,
  (t.amount - t.fee)::numeric AS credited_base_units,
  shown_finality(t.finality, t.awaits_witness_since) AS finality
FROM transfers AS t
LEFT JOIN tokens AS k ON k.mint = t.mint
LEFT JOIN recipients AS r ON r.address = t.destination_owner;
