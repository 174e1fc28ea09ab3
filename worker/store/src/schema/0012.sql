-- What calls of models took, added up in the transaction that commits each: of every day by agent,
-- caller and model (session_id ''), of each session the same, and of every model since the
-- beginning (day 0). No references: a bill outlives who made it.
CREATE TABLE usage (
    session_id         TEXT NOT NULL,
    day                INTEGER NOT NULL,  -- 20261201; long ago a month, 202612
    agent_id           TEXT NOT NULL,
    caller             TEXT NOT NULL,     -- as turns.posted_by
    model              TEXT NOT NULL,
    calls              INTEGER NOT NULL,
    uncounted_calls    INTEGER NOT NULL,  -- whose endpoint counted no tokens
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    cost               INTEGER NOT NULL,  -- pico-units
    PRIMARY KEY (session_id, day, agent_id, caller, model)
) STRICT, WITHOUT ROWID;
-- To forget the days of sessions that are long ago.
CREATE INDEX usage_of_sessions ON usage (day) WHERE session_id <> '';

CREATE TABLE budgets (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,             -- unique: looked for before it is given
    subject    TEXT NOT NULL,
    of         TEXT,                      -- null: all, or each
    period     TEXT NOT NULL,
    unit       TEXT NOT NULL,             -- cost in micro-units, or tokens
    amount     INTEGER NOT NULL,
    on_reached TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What was spent of a budget by each it counts for, in its present period, and the highest percentage
-- that was told. A row that is missing is made from `usage`.
CREATE TABLE budget_sums (
    budget_id TEXT NOT NULL,
    of        TEXT NOT NULL,              -- '' for all
    period    TEXT NOT NULL,              -- 2026-12-01, 2026-12, or '' for ever
    tokens    INTEGER NOT NULL,
    cost      INTEGER NOT NULL,
    told      INTEGER NOT NULL,
    PRIMARY KEY (budget_id, of, period)
) STRICT, WITHOUT ROWID;

-- A budget of one goes with that one, and what it spent with it.
CREATE TRIGGER budgets_of_session AFTER DELETE ON sessions BEGIN
    DELETE FROM budget_sums WHERE of = OLD.id
        AND budget_id IN (SELECT id FROM budgets WHERE subject = 'session');
    DELETE FROM budgets WHERE subject = 'session' AND of = OLD.id;
END;
CREATE TRIGGER budgets_of_agent AFTER DELETE ON agents BEGIN
    DELETE FROM budget_sums WHERE of = OLD.id
        AND budget_id IN (SELECT id FROM budgets WHERE subject = 'agent');
    DELETE FROM budgets WHERE subject = 'agent' AND of = OLD.id;
END;
CREATE TRIGGER budgets_of_key AFTER DELETE ON api_keys BEGIN
    DELETE FROM budget_sums WHERE of = OLD.id
        AND budget_id IN (SELECT id FROM budgets WHERE subject = 'key');
    DELETE FROM budgets WHERE subject = 'key' AND of = OLD.id;
END;

-- The same, of the whole session.
ALTER TABLE sessions ADD COLUMN usage TEXT NOT NULL
    DEFAULT '{"input_tokens":0,"output_tokens":0}';    -- JSON
ALTER TABLE sessions ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET (usage, cost) = (
    SELECT json_object('input_tokens', COALESCE(SUM(input_tokens), 0),
                       'output_tokens', COALESCE(SUM(output_tokens), 0)),
           COALESCE(SUM(cost), 0)
    FROM turns WHERE session_id = sessions.id);
