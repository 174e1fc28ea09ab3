-- When a queued turn that waits may be claimed: the machine's uptime in milliseconds, of this boot,
-- and how long it was to wait. Turns behind it in its session have the same time, and no reason.
ALTER TABLE turns ADD COLUMN wait_ends INTEGER;
ALTER TABLE turns ADD COLUMN wait_ms INTEGER;
ALTER TABLE turns ADD COLUMN wait_boot TEXT;
-- How long its present model call has been tried, with what it waited in between.
ALTER TABLE turns ADD COLUMN tried_ms INTEGER NOT NULL DEFAULT 0;

-- Only turns that may be claimed are looked through, however many wait.
DROP INDEX turns_waiting;
CREATE INDEX turns_waiting ON turns (posted_by, agent_id, position)
    WHERE state = 'queued' AND wait_ends IS NULL;
CREATE INDEX turns_later ON turns (wait_ends) WHERE state = 'queued' AND wait_ends IS NOT NULL;
