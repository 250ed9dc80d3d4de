-- name: take_agent_id$
-- Give an agent's id to a user, unless it is another's or the name of another user; answers whether it is theirs.
WITH held AS (
  SELECT user_id FROM agent_ids WHERE agent_id = :agent_id
),
taken AS (
  INSERT INTO agent_ids (agent_id, user_id)
  SELECT :agent_id::text, :user_id::text
  WHERE NOT EXISTS (SELECT FROM held)
    AND (:agent_id::text = :user_id::text OR NOT EXISTS (SELECT FROM api_keys WHERE user_id = :agent_id::text))
  -- Of two users at the same moment the second waits here, and is answered whose it is by then.
  ON CONFLICT (agent_id) DO UPDATE SET user_id = agent_ids.user_id
  RETURNING user_id
)
SELECT coalesce((SELECT user_id FROM held), (SELECT user_id FROM taken)) IS NOT DISTINCT FROM :user_id::text;
