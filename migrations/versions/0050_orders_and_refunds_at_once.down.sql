DROP INDEX nonces_live_recipient;
DROP INDEX job_requests_open_settlement_wallet;
CREATE OR REPLACE FUNCTION transfers_back(paid_signature text, paid_path text)
  RETURNS TABLE (signature text, path text, amount numeric, slot bigint, finality finality)
  LANGUAGE sql STABLE PARALLEL SAFE
  BEGIN ATOMIC
    SELECT t.signature, t.path, t.amount, t.slot, t.finality
    FROM transfers AS p
    JOIN transfers AS t
      ON t.source_owner = p.destination_owner AND t.destination_owner = p.source_owner AND t.slot >= p.slot
      AND mint_counts_as(t.mint, p.mint)
    WHERE p.signature = paid_signature AND p.path = paid_path
      AND t.signature <> p.signature AND t.finality <> 'orphaned' AND kind_is_payment(t.kind)
      -- What pays for something, is a payout of ours, or gives something else back does not give this back.
      AND NOT EXISTS (
        SELECT FROM transactions AS c
        WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
      )
      AND NOT EXISTS (
        SELECT FROM payouts AS o WHERE o.settled_signature = t.signature AND o.settled_path = t.path
      )
      AND NOT EXISTS (
        SELECT FROM finding_decisions AS d
        WHERE d.refund_signature = t.signature AND d.refund_path = t.path AND d.action = 'refunded'
      )
      -- Nor does what names a payment request or a job: it is to pay that, and may not have been matched yet.
      AND (
        t.reference_keys = '{}' AND t.memos = '{}' OR NOT EXISTS (
          SELECT FROM nonces AS n WHERE n.reference = ANY(t.reference_keys) AND n.recipient = t.destination_owner
          UNION ALL
          SELECT FROM nonces AS n WHERE n.nonce = ANY(t.memos) AND n.recipient = t.destination_owner
          UNION ALL
          SELECT FROM job_requests AS j
          WHERE j.reference = ANY(t.reference_keys) AND j.settlement_wallet = t.destination_owner
          UNION ALL
          SELECT FROM job_requests AS j WHERE j.nonce = ANY(t.memos) AND j.settlement_wallet = t.destination_owner
        )
      );
  END;
