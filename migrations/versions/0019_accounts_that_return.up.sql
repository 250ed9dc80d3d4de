-- A token account that was somebody else's and is the wallet's again: what happened on it meanwhile is nobody's business
-- here, so that its proof begins anew.
ALTER TABLE token_accounts ADD COLUMN returned_slot bigint;
COMMENT ON COLUMN token_accounts.returned_slot IS 'The last slot at which it was known to be somebody else''s before it came back: its proof begins after it';

ALTER TABLE heartbeats ADD COLUMN accounts_waiting integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN heartbeats.accounts_waiting IS 'Empty token accounts that strangers opened and that an indexer does not follow until they are paid';

-- Claims that take what cannot fund a job came to be without an event.
INSERT INTO events (type, at, subject, user_id, data)
SELECT 'claim.' || c.status, c.settled_at, c.id::text, c.user_id,
  jsonb_build_object('signature', c.signature, 'path', c.path, 'mint', c.mint, 'received', c.received::text,
    'matchedBy', 'job')
FROM transactions AS c
JOIN job_fundings AS f ON f.claim_id = c.id AND f.escrowed = 0
WHERE c.resource = 'marketplace refund' AND c.status = 'finalized' AND c.settled_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM events AS e WHERE e.subject = c.id::text AND e.type LIKE 'claim.%');
