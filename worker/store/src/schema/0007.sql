-- By whom the places of turns are shared: who posted the message, as the audit log names them, and
-- the agent. Empty where a worker of before wrote the turn.
ALTER TABLE turns ADD COLUMN posted_by TEXT NOT NULL DEFAULT '';
ALTER TABLE turns ADD COLUMN agent_id TEXT NOT NULL DEFAULT '';
UPDATE turns SET agent_id = (SELECT agent_id FROM sessions WHERE sessions.id = turns.session_id)
    WHERE state IN ('queued', 'running');
DROP INDEX turns_queue;
CREATE INDEX turns_waiting ON turns (posted_by, agent_id, position) WHERE state = 'queued';

-- How long it ran before its last claim, and when that was, while it runs.
ALTER TABLE turns ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN claimed_at TEXT;
-- Workers that died while they had it, since its last committed step. `calls.takeovers` is of before.
ALTER TABLE turns ADD COLUMN takeovers INTEGER NOT NULL DEFAULT 0;
-- When a worker had drained: what it still owns did not kill it.
ALTER TABLE generations ADD COLUMN drained_at TEXT;
