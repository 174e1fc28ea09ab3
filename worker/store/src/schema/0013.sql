-- The form that a turn's answer must have: JSON; null where it is free. How often it was asked for
-- again because it had not that form.
ALTER TABLE turns ADD COLUMN response_format TEXT;
ALTER TABLE turns ADD COLUMN corrections INTEGER NOT NULL DEFAULT 0;

-- What was attached to a message: JSON array; and SHA-256 of the request that posted it, where that
-- had an Idempotency-Key.
ALTER TABLE messages ADD COLUMN attachments TEXT NOT NULL DEFAULT '[]';
ALTER TABLE messages ADD COLUMN fingerprint BLOB;
