-- Answers to requests that created something, by the client's `Idempotency-Key`: stored in the
-- transaction of what they created.

CREATE TABLE answers (
    owner       TEXT NOT NULL,        -- as the audit log names who asks
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,        -- SHA-256 of the request
    location    TEXT NOT NULL,
    body        TEXT NOT NULL,        -- JSON
    created_at  TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT;

CREATE INDEX answers_by_age ON answers (created_at);
CREATE INDEX answers_by_owner ON answers (owner, created_at);
