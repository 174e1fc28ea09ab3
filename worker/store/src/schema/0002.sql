-- Workplaces: where agents' tools act.

CREATE TABLE workplaces (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    settings   TEXT NOT NULL,         -- JSON of the kind's settings; secrets are only referred to
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `local` is there on every machine, is never renamed and never removed: an agent without a
-- workplace of its own has that one. Any other is named by its identifier.
ALTER TABLE agents ADD COLUMN workplace TEXT NOT NULL DEFAULT 'local';
ALTER TABLE agents ADD COLUMN other_workplaces TEXT NOT NULL DEFAULT '[]';  -- JSON array

-- Where a call runs, and how many bytes of its command's output are in the event log: a successor
-- goes on from there. The largest integer once the log says that no more of it is shown.
ALTER TABLE calls ADD COLUMN workplace TEXT NOT NULL DEFAULT 'local';
ALTER TABLE calls ADD COLUMN output_offset INTEGER NOT NULL DEFAULT 0;
-- Workers in a row that died in this call without adding to `output_offset`; why it runs a second time.
ALTER TABLE calls ADD COLUMN takeovers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE calls ADD COLUMN repeated TEXT;

-- Containers of this instance, one for each session and workplace. A row is written before its
-- container is made and removed after it is gone.
CREATE TABLE containers (
    workplace_id TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    engine       TEXT NOT NULL,
    name         TEXT NOT NULL UNIQUE,
    container    TEXT,                -- the engine's identifier; null until it is made
    used_at      TEXT NOT NULL,
    PRIMARY KEY (workplace_id, session_id)
) STRICT, WITHOUT ROWID;

-- What this installation is called in labels and spools: one row.
CREATE TABLE instance (
    id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
