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
      -- What pays for something, also over x402, is a payout of ours, or gives something else back does not give this back.
      AND NOT EXISTS (
        SELECT FROM transactions AS c
        WHERE c.signature = t.signature AND c.path = t.path AND claim_holds_transfer(c.status)
      )
      AND NOT EXISTS (SELECT FROM settlements AS s WHERE s.signature = t.signature)
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

-- Jobs that may still be funded, or whose money a wallet holds, and live payment requests to it.
CREATE INDEX job_requests_open_settlement_wallet ON job_requests (settlement_wallet)
  WHERE NOT escrow_is_settled(escrow_status) AND (escrow_status <> 'pending' OR job_is_open(status));
CREATE INDEX nonces_live_recipient ON nonces (recipient, expires_at) WHERE environment = 'live';

-- What was counted anew before, while processes of earlier versions went on counting, is counted once more. Nobody counts
-- meanwhile.
LOCK TABLE agent_services IN SHARE ROW EXCLUSIVE MODE;
UPDATE ratings AS r SET counted_at = NULL
FROM job_requests AS j
WHERE j.id = r.job_id AND r.counted_at IS NOT NULL
  AND NOT job_counts(j.environment, j.client_user_id, j.provider_user_id);
UPDATE agent_services AS s
SET total_jobs = c.jobs, successful_jobs = c.successes, total_earnings = c.earned, response_seconds = c.seconds,
  rating_sum = c.rating_sum, rating_count = c.ratings
FROM (
  SELECT o.id,
    count(j.id) FILTER (WHERE j.accepted_at IS NOT NULL)::int AS jobs,
    count(j.id) FILTER (WHERE j.escrow_status = 'released')::int AS successes,
    coalesce(sum(p.amount) FILTER (WHERE j.escrow_status = 'released'), 0) AS earned,
    coalesce(
      sum(extract(epoch FROM j.completed_at - j.accepted_at)) FILTER (WHERE j.escrow_status = 'released'), 0
    )::double precision AS seconds,
    coalesce(sum(r.score) FILTER (WHERE r.counted_at IS NOT NULL), 0)::int AS rating_sum,
    count(r.score) FILTER (WHERE r.counted_at IS NOT NULL)::int AS ratings
  FROM agent_services AS o
  LEFT JOIN job_requests AS j ON j.service_id = o.id AND escrow_is_settled(j.escrow_status)
    AND job_counts(j.environment, j.client_user_id, j.provider_user_id)
  LEFT JOIN payouts AS p ON p.job_id = j.id AND p.part = 'escrow' AND p.status = 'settled'
  LEFT JOIN ratings AS r ON r.job_id = j.id
  GROUP BY o.id
) AS c
WHERE s.id = c.id
  AND EXISTS (SELECT FROM job_requests AS t WHERE t.service_id = s.id AND t.environment = 'test');
INSERT INTO report_recipient_changes (recipient) SELECT DISTINCT address FROM former_recipients;
