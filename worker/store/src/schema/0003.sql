-- Keys: who may do what over HTTP.

CREATE TABLE api_keys (
    id           TEXT NOT NULL PRIMARY KEY,  -- also stands in the key itself
    name         TEXT NOT NULL,
    hash         BLOB NOT NULL,              -- SHA-256 of the whole key; the key is nowhere
    scope        TEXT NOT NULL,
    agents       TEXT,                       -- JSON array of identifiers; null: every agent
    created_at   TEXT NOT NULL,
    expires_at   TEXT,                       -- null: never
    last_used_at TEXT,                       -- at most a minute old
    revoked_at   TEXT
) STRICT, WITHOUT ROWID;

-- A name is free again when its key is revoked.
CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at IS NULL;
