-- As before.
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
  r.user_id,
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
