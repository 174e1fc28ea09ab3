-- Identifiers and times are text (RFC 3339, UTC, milliseconds); flags are 0 or 1.
-- Tables and indexes are few because every handle parses the schema when it opens.

CREATE TABLE agents (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    model        TEXT NOT NULL,
    instructions TEXT NOT NULL,
    tools        TEXT,                -- JSON array of names; null for every tool
    created_at   TEXT NOT NULL,
    updated_at   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id         TEXT NOT NULL PRIMARY KEY,
    agent_id   TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    title      TEXT NOT NULL,
    last_event INTEGER NOT NULL,      -- the events' sequence: the next one is one more
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_agent ON sessions (agent_id);

CREATE TABLE turns (
    position         INTEGER PRIMARY KEY,  -- in the queue: the oldest is claimed first
    id               TEXT NOT NULL UNIQUE,
    session_id       TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    state            TEXT NOT NULL,
    steps            INTEGER NOT NULL,
    owner            INTEGER,              -- the generation that runs it, while it runs
    last_owner       INTEGER,              -- the generation that ran it last
    cancel_requested INTEGER NOT NULL,
    partial_text     INTEGER NOT NULL,     -- text was published that no step has completed
    error_code       TEXT,
    error_message    TEXT,
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    created_at       TEXT NOT NULL,
    started_at       TEXT,
    ended_at         TEXT,
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK ((state IN ('queued', 'running')) = (ended_at IS NULL))
) STRICT;
CREATE INDEX turns_of_session ON turns (session_id);
CREATE INDEX turns_queue ON turns (position) WHERE state = 'queued';
CREATE INDEX turns_queued ON turns (session_id) WHERE state = 'queued';
-- No two turns of a session run at the same time, whatever the code does.
CREATE UNIQUE INDEX turns_running ON turns (session_id) WHERE state = 'running';

CREATE TABLE messages (
    position        INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    session_id      TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    turn_id         TEXT NOT NULL,    -- no reference: it would need an index of its own
    role            TEXT NOT NULL,
    content         TEXT NOT NULL,
    idempotency_key TEXT,
    created_at      TEXT NOT NULL
) STRICT;
CREATE INDEX messages_of_session ON messages (session_id);
CREATE UNIQUE INDEX messages_key ON messages (session_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE items (
    turn_id  TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    data     TEXT NOT NULL,           -- JSON of an Item
    PRIMARY KEY (turn_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE calls (
    turn_id   TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    step      INTEGER NOT NULL,
    call_id   TEXT NOT NULL,
    name      TEXT NOT NULL,
    arguments TEXT NOT NULL,
    command_id      TEXT NOT NULL,          -- EVONIC_CALL of its processes
    outcome   TEXT,                   -- null while it runs
    PRIMARY KEY (turn_id, step, call_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    sequence   INTEGER NOT NULL,
    name       TEXT NOT NULL,
    data       TEXT NOT NULL,         -- the exact line that is sent
    PRIMARY KEY (session_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE generations (
    number     INTEGER PRIMARY KEY,
    pid        INTEGER NOT NULL,
    started_at TEXT NOT NULL
) STRICT;
