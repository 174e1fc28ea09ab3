-- Tokens beside those of before, and what a turn's tokens cost, in pico-units.
ALTER TABLE turns ADD COLUMN cached_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
-- Until when a queued turn is not claimed, and why; null where it is not waiting.
ALTER TABLE turns ADD COLUMN wait_until TEXT;
ALTER TABLE turns ADD COLUMN wait_reason TEXT;
ALTER TABLE turns ADD COLUMN wait_message TEXT;
-- How often its present model call has failed, and since when it is tried.
ALTER TABLE turns ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN attempted_at TEXT;
