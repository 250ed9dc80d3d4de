-- Analytics on millions of rows: what is listed is counted in an index alone, what is summed up has been summed up
-- before. With it what least privilege needs, and the views that analysts read instead of our tables.

-- Counting walks an index without reading a row, where the index holds all that is asked about.
DROP INDEX transactions_timestamp_status, transactions_user_id_timestamp, transactions_agent_id_timestamp;
CREATE INDEX transactions_timestamp_status ON transactions ("timestamp", status)
  INCLUDE (id, currency, agent_id, environment);
CREATE INDEX transactions_user_id_timestamp ON transactions (user_id, "timestamp")
  INCLUDE (id, status, currency, agent_id, environment);
CREATE INDEX transactions_agent_id_timestamp ON transactions (agent_id, "timestamp")
  INCLUDE (id, user_id, status, currency, environment);
DROP INDEX events_type_at, events_user_id_at;
CREATE INDEX events_at ON events (at, id);
CREATE INDEX events_type_at ON events (type, at) INCLUDE (id, user_id, agent_id);
CREATE INDEX events_user_id_at ON events (user_id, at) INCLUDE (id, type, agent_id) WHERE user_id IS NOT NULL;
CREATE INDEX events_agent_id_at ON events (agent_id, at) INCLUDE (id, type, user_id) WHERE agent_id IS NOT NULL;
-- What an export of a time range walks, in its order: by the chain's clock, or ours where a node did not tell it.
CREATE INDEX transfers_time ON transfers ((coalesce(block_time, recorded_at)), signature, path);

-- Every change of what honoured claims add up to is noted by the statement that makes it, in a row of its own, so that
-- claims of one merchant never wait for each other. A pass folds the notes into the totals; whoever reads adds up both.
CREATE TABLE claim_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  day date NOT NULL,
  user_id text NOT NULL,
  agent_id text,
  mint address NOT NULL,
  environment text NOT NULL,
  claims integer NOT NULL,
  received numeric NOT NULL,
  last_at timestamptz NOT NULL
);
COMMENT ON TABLE claim_changes IS 'Changes of the totals that are not folded into them yet';
COMMENT ON COLUMN claim_changes.day IS 'The day of the claims'' timestamps, UTC';
COMMENT ON COLUMN claim_changes.claims IS 'Honoured claims more; negative where a fork undid some';

CREATE TABLE revenue_days (
  user_id text NOT NULL,
  day date NOT NULL,
  mint address NOT NULL,
  environment text NOT NULL,
  claims bigint NOT NULL,
  received numeric NOT NULL,
  PRIMARY KEY (user_id, day, mint, environment)
);
COMMENT ON TABLE revenue_days IS 'What honoured claims of a day add up to, in base units; claim_changes is still to be added';
COMMENT ON COLUMN revenue_days.user_id IS 'The merchant; empty for all of them together';

-- With the sums in the index, those of an agent need not be gathered from all over the table.
CREATE TABLE agent_days (
  user_id text NOT NULL,
  day date NOT NULL,
  agent_id text NOT NULL,
  mint address NOT NULL,
  environment text NOT NULL,
  claims bigint NOT NULL,
  received numeric NOT NULL,
  last_at timestamptz NOT NULL,
  PRIMARY KEY (user_id, mint, day, agent_id, environment) INCLUDE (claims, received, last_at)
);
COMMENT ON TABLE agent_days IS 'What an agent spent in a day of the last two months, in base units; claim_changes is still to be added';
COMMENT ON COLUMN agent_days.user_id IS 'The merchant who was paid; empty for all of them together';
COMMENT ON COLUMN agent_days.last_at IS 'The newest claim that was ever counted here';

CREATE TABLE agent_months (
  user_id text NOT NULL,
  month date NOT NULL,
  agent_id text NOT NULL,
  mint address NOT NULL,
  environment text NOT NULL,
  claims bigint NOT NULL,
  received numeric NOT NULL,
  last_at timestamptz NOT NULL,
  PRIMARY KEY (user_id, mint, month, agent_id, environment) INCLUDE (claims, received, last_at)
);
COMMENT ON TABLE agent_months IS 'What an agent spent in a month, as agent_days has it for days';

CREATE FUNCTION note_claim_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO claim_changes (day, user_id, agent_id, mint, environment, claims, received, last_at)
    SELECT ("timestamp" AT TIME ZONE 'UTC')::date, user_id, agent_id, mint, environment,
      count(*), sum(received), max("timestamp")
    FROM now_there
    WHERE status IN ('confirmed', 'finalized')
    GROUP BY 1, 2, 3, 4, 5;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO claim_changes (day, user_id, agent_id, mint, environment, claims, received, last_at)
    SELECT ("timestamp" AT TIME ZONE 'UTC')::date, user_id, agent_id, mint, environment,
      sum(sign), sum(sign * received), max("timestamp")
    FROM (
      SELECT 1 AS sign, "timestamp", user_id, agent_id, mint, environment, status, received FROM now_there
      UNION ALL
      SELECT -1, "timestamp", user_id, agent_id, mint, environment, status, received FROM there_before
    ) AS c
    WHERE status IN ('confirmed', 'finalized')
    GROUP BY 1, 2, 3, 4, 5
    HAVING sum(sign) <> 0 OR sum(sign * received) <> 0;
  ELSE
    INSERT INTO claim_changes (day, user_id, agent_id, mint, environment, claims, received, last_at)
    SELECT ("timestamp" AT TIME ZONE 'UTC')::date, user_id, agent_id, mint, environment,
      -count(*), -sum(received), max("timestamp")
    FROM there_before
    WHERE status IN ('confirmed', 'finalized')
    GROUP BY 1, 2, 3, 4, 5;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_claim_changes() IS 'Notes what a statement changed about the totals of honoured claims';
CREATE TRIGGER transactions_inserted AFTER INSERT ON transactions
  REFERENCING NEW TABLE AS now_there
  FOR EACH STATEMENT EXECUTE FUNCTION note_claim_changes();
CREATE TRIGGER transactions_updated AFTER UPDATE ON transactions
  REFERENCING OLD TABLE AS there_before NEW TABLE AS now_there
  FOR EACH STATEMENT EXECUTE FUNCTION note_claim_changes();
CREATE TRIGGER transactions_deleted AFTER DELETE ON transactions
  REFERENCING OLD TABLE AS there_before
  FOR EACH STATEMENT EXECUTE FUNCTION note_claim_changes();
-- Claims from before this version.
INSERT INTO claim_changes (day, user_id, agent_id, mint, environment, claims, received, last_at)
SELECT ("timestamp" AT TIME ZONE 'UTC')::date, user_id, agent_id, mint, environment,
  count(*), sum(received), max("timestamp")
FROM transactions
WHERE status IN ('confirmed', 'finalized')
GROUP BY 1, 2, 3, 4, 5;

-- Locking a row takes the right to change something of it. Of this column there is nothing to change: a role that may
-- update it, and nothing else, can make sure that a transfer stays as it is without being able to touch it.
ALTER TABLE transfers ADD COLUMN lock_only boolean GENERATED ALWAYS AS (NULL::boolean) STORED;
COMMENT ON COLUMN transfers.lock_only IS 'Always null: the right to update it is the right to lock the row, and no more';

CREATE SCHEMA analytics;
COMMENT ON SCHEMA analytics IS 'Read-only views for analysts and BI tools; their columns are kept stable';

CREATE FUNCTION analytics.figure(base_units numeric, decimals smallint) RETURNS numeric
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN (trunc(base_units)::text || 'e-' || decimals::text)::numeric;
COMMENT ON FUNCTION analytics.figure(numeric, smallint) IS 'Base units as people write them, exactly: no division, no rounding';

CREATE VIEW analytics.tokens AS
SELECT mint, coalesce(symbol, mint::text) AS symbol, decimals, program, network FROM tokens;
COMMENT ON VIEW analytics.tokens IS 'Every mint the ledger knows; one without a symbol is called by its address';

CREATE VIEW analytics.recipients AS
SELECT address AS wallet, user_id, label, active, followed_from_slot, created_at, removed_at FROM recipients;
COMMENT ON VIEW analytics.recipients IS 'Wallets that are or were followed, and the merchant each belongs to';

CREATE VIEW analytics.transfers AS
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
  t.finality::text AS finality
FROM transfers AS t
LEFT JOIN tokens AS k ON k.mint = t.mint
LEFT JOIN recipients AS r ON r.address = t.destination_owner;
COMMENT ON VIEW analytics.transfers IS 'Every movement of tokens from or to a followed wallet, orphaned ones included';
COMMENT ON COLUMN analytics.transfers.user_id IS 'The merchant to whose wallet it went; null for money that left';
COMMENT ON COLUMN analytics.transfers.credited IS 'What the destination gained, in units of the token: amount less fee';
COMMENT ON COLUMN analytics.transfers.finality IS 'confirmed, finalized, or orphaned: undone by a fork';

CREATE VIEW analytics.claims AS
SELECT
  c.id,
  c.user_id,
  c.agent_id,
  c.nonce,
  c.signature,
  c.path,
  c.payer,
  c.recipient,
  c.mint,
  c.currency AS symbol,
  analytics.figure(c.amount, k.decimals) AS amount,
  analytics.figure(c.received, k.decimals) AS received,
  c.amount::numeric AS amount_base_units,
  c.received::numeric AS received_base_units,
  c.resource,
  c.environment,
  c.status::text AS status,
  c.code,
  c."timestamp" AS claimed_at,
  c.honoured_at,
  c.reversed_at,
  c.settled_at
FROM transactions AS c
LEFT JOIN tokens AS k ON k.mint = c.mint;
COMMENT ON VIEW analytics.claims IS 'Every claimed payment and what was made of it; confirmed and finalized ones are revenue';
COMMENT ON COLUMN analytics.claims.amount IS 'What was claimed, in units of the token';
COMMENT ON COLUMN analytics.claims.received IS 'What its transfer credited; more than the amount is an overpayment';
COMMENT ON COLUMN analytics.claims.code IS 'Why it came to nothing';

CREATE VIEW analytics.revenue AS
SELECT
  d.day,
  d.user_id,
  d.mint,
  coalesce(k.symbol, d.mint::text) AS symbol,
  d.environment,
  sum(d.claims)::bigint AS claims,
  analytics.figure(sum(d.received), k.decimals) AS received,
  sum(d.received) AS received_base_units
FROM (
  SELECT day, user_id, mint, environment, claims, received FROM revenue_days WHERE user_id <> ''
  UNION ALL
  SELECT day, user_id, mint, environment, claims, received FROM claim_changes
) AS d
LEFT JOIN tokens AS k ON k.mint = d.mint
GROUP BY d.day, d.user_id, d.mint, k.symbol, k.decimals, d.environment
HAVING sum(d.claims) <> 0;
COMMENT ON VIEW analytics.revenue IS 'Honoured claims of each day (UTC), merchant and token; exact up to this moment';

CREATE VIEW analytics.services AS
SELECT
  s.id, s.user_id, s.agent_id, s.name, s.category, s.pricing_model, s.price_currency AS symbol,
  analytics.figure(s.price_amount, k.decimals) AS price,
  s.price_amount::numeric AS price_base_units,
  s.is_active, s.total_jobs, s.successful_jobs,
  analytics.figure(s.total_earnings, k.decimals) AS earned,
  s.total_earnings::numeric AS earned_base_units,
  s.rating_sum::numeric / nullif(s.rating_count, 0) AS rating,
  s.rating_count,
  s.created_at, s.updated_at
FROM agent_services AS s
LEFT JOIN tokens AS k ON k.mint = s.price_mint;
COMMENT ON VIEW analytics.services IS 'Services of the marketplace with what they have earned';

CREATE VIEW analytics.jobs AS
SELECT
  j.id, j.service_id, s.name AS service, j.client_user_id, j.client_agent_id, j.provider_user_id, j.provider_agent_id,
  j.price_currency AS symbol,
  analytics.figure(j.price_amount, k.decimals) AS price,
  j.price_amount::numeric AS price_base_units,
  j.status::text AS status,
  j.escrow_status::text AS escrow_status,
  j.deadline, j.created_at, j.accepted_at, j.escrowed_at, j.completed_at, j.ended_at, j.settled_at
FROM job_requests AS j
JOIN agent_services AS s ON s.id = j.service_id
LEFT JOIN tokens AS k ON k.mint = j.price_mint;
COMMENT ON VIEW analytics.jobs IS 'Jobs of the marketplace and where their money is; what was ordered and delivered stays private';

CREATE VIEW analytics.payouts AS
SELECT
  p.id, p.job_id, p.kind, p.reason, p.wallet, p.recipient, p.mint,
  coalesce(k.symbol, p.mint::text) AS symbol,
  analytics.figure(p.amount, k.decimals) AS amount,
  p.amount::numeric AS amount_base_units,
  p.status::text AS status,
  p.waiting_reason, p.tries, p.settled_signature, p.created_at, p.settled_at
FROM payouts AS p
LEFT JOIN tokens AS k ON k.mint = p.mint;
COMMENT ON VIEW analytics.payouts IS 'Money sent or to be sent: releases and refunds; never the signed bytes';

CREATE VIEW analytics.reconciliation_runs AS
SELECT id, status, requested_by, report, error, created_at, started_at, finished_at FROM reconciliation_runs;
COMMENT ON VIEW analytics.reconciliation_runs IS 'Reports that hold claims against transfers, newest last';

CREATE VIEW analytics.events AS
SELECT id, at, type, subject, user_id, agent_id, data FROM events;
COMMENT ON VIEW analytics.events IS 'What happened, in order; append-only';

CREATE VIEW analytics.ledger_health AS
SELECT
  a.address AS account,
  a.recipient AS wallet,
  r.user_id,
  coalesce(k.symbol, a.mint::text) AS symbol,
  r.active AS is_followed,
  analytics.figure(a.drift, k.decimals) AS drift,
  a.drift::numeric AS drift_base_units,
  a.gaps,
  a.drift = 0 AND a.gaps = 0 AND a.audited_slot IS NOT NULL AS is_proven,
  a.audited_slot,
  a.audited_at,
  a.healed_at,
  a.heal_reason
FROM token_accounts AS a
JOIN recipients AS r ON r.address = a.recipient
LEFT JOIN tokens AS k ON k.mint = a.mint;
COMMENT ON VIEW analytics.ledger_health IS 'Each followed account: whether its audits are good, and what is wrong where not';
COMMENT ON COLUMN analytics.ledger_health.drift IS 'Balance on chain less the ledger''s, in units of the token';
COMMENT ON COLUMN analytics.ledger_health.gaps IS 'Places where a balance change does not start where the one before ended';
