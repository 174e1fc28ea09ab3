-- The request that posted a turn's message: as it was answered and logged. Null for turns of before.
ALTER TABLE turns ADD COLUMN request_id TEXT;
