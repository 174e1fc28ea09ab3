-- What of a session's items is sent to its model: the last row of a session says it all.
CREATE TABLE compactions (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,      -- from 1, without gaps, within the session
    turn_id    TEXT NOT NULL,         -- in which it was made
    data       TEXT NOT NULL,         -- JSON of a NewCompaction
    created_at TEXT NOT NULL,
    PRIMARY KEY (session_id, number)
) STRICT, WITHOUT ROWID;

-- What was learnt of endpoints from their answers.
CREATE TABLE model_facts (
    endpoint TEXT NOT NULL PRIMARY KEY,
    data     TEXT NOT NULL            -- JSON of ModelFacts
) STRICT, WITHOUT ROWID;

-- Whether a turn has no message, and compacts its session.
ALTER TABLE turns ADD COLUMN compacts INTEGER NOT NULL DEFAULT 0;
