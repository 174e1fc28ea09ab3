-- The form that a turn's answer must have: JSON; null where it is free. How often it was asked for
-- again because it had not that form.
ALTER TABLE turns ADD COLUMN response_format TEXT;
ALTER TABLE turns ADD COLUMN corrections INTEGER NOT NULL DEFAULT 0;

-- What was attached to a message: JSON array; and SHA-256 of the request that posted it, where that
-- had an Idempotency-Key.
ALTER TABLE messages ADD COLUMN attachments TEXT NOT NULL DEFAULT '[]';
ALTER TABLE messages ADD COLUMN fingerprint BLOB;

-- Contents of attachments, each once, in pieces of 256 KiB. One without a hash is being uploaded.
CREATE TABLE blobs (
    id     INTEGER PRIMARY KEY,
    sha256 TEXT UNIQUE,               -- lower-case hexadecimal
    bytes  INTEGER NOT NULL
) STRICT;

CREATE TABLE blob_pieces (
    blob     INTEGER NOT NULL REFERENCES blobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    data     BLOB NOT NULL,
    PRIMARY KEY (blob, position)
) STRICT, WITHOUT ROWID;

-- Who refers to a content: a session that was sent it. `is_used` once a message has it.
CREATE TABLE session_blobs (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    blob       INTEGER NOT NULL REFERENCES blobs (id) ON DELETE CASCADE,
    media_type TEXT NOT NULL,
    is_used    INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (session_id, blob)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_blobs_by_blob ON session_blobs (blob);
CREATE INDEX session_blobs_unused ON session_blobs (created_at) WHERE is_used = 0;

-- A content that nobody refers to any more goes with the last who did.
CREATE TRIGGER blobs_are_referred_to AFTER DELETE ON session_blobs
WHEN NOT EXISTS (SELECT 1 FROM session_blobs WHERE blob = OLD.blob) BEGIN
    DELETE FROM blobs WHERE id = OLD.blob;
END;
