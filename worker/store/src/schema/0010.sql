-- How long things are kept.

ALTER TABLE agents ADD COLUMN retention TEXT;  -- JSON; null: as the configuration says

-- Why nobody is shown it: `removed`, or `import N` while the worker of generation N makes it. Its rows
-- go little by little.
ALTER TABLE sessions ADD COLUMN hidden TEXT;
-- The number of the day of its last event; null where a worker of before wrote it.
ALTER TABLE sessions ADD COLUMN active_day INTEGER;
-- The log is folded up to this event, which took so many of it away.
ALTER TABLE sessions ADD COLUMN folded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN folded_away INTEGER NOT NULL DEFAULT 0;
-- Up to this event every turn had ended on that day, at that time: the log is folded up to it later.
ALTER TABLE sessions ADD COLUMN fold_to INTEGER;
ALTER TABLE sessions ADD COLUMN fold_day INTEGER;
ALTER TABLE sessions ADD COLUMN fold_at TEXT;
