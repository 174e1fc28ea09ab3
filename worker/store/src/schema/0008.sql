-- Days on which the service ran, in the order in which they were seen: what is kept for some days is
-- kept for so many of these. A clock that steps is one day at the most.
CREATE TABLE days (
    number INTEGER PRIMARY KEY,       -- one more than the day's before it
    day    TEXT NOT NULL UNIQUE,      -- as the clock said: YYYY-MM-DD
    uptime INTEGER NOT NULL,          -- seconds since the machine's start when it was first seen
    boot   TEXT NOT NULL,             -- which start that was; empty where it is not known
    audit  INTEGER NOT NULL           -- position of the last audit record before it
) STRICT;
INSERT INTO days (day, uptime, boot, audit)
    SELECT substr(at, 1, 10), 0, '', MIN(position) - 1 FROM audit
    GROUP BY substr(at, 1, 10) ORDER BY MIN(position);

-- The number of the day on which an answer was kept; 0 of one that a worker of before wrote.
ALTER TABLE answers ADD COLUMN day INTEGER NOT NULL DEFAULT 0;
-- The number of the day on which a key was first seen revoked or expired.
ALTER TABLE api_keys ADD COLUMN ended_day INTEGER;
-- The machine's uptime at the claim, in milliseconds; null where a worker of before claimed it.
ALTER TABLE turns ADD COLUMN claimed_uptime INTEGER;
