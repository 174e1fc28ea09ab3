-- The audit log: who changed what, and when. A record is written in the transaction of its change,
-- and holds names only: of things and of their fields, never what is in them.

CREATE TABLE audit (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
    at          TEXT NOT NULL,
    actor       TEXT NOT NULL,
    address     TEXT,                 -- null on the Unix socket and from inside
    request_id  TEXT,                 -- null from inside
    action      TEXT NOT NULL,
    target      TEXT NOT NULL,        -- identifier
    target_name TEXT,
    fields      TEXT NOT NULL         -- JSON array of names
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is not changed');
END;

-- A week is the least that can be configured: what is younger is never in the way.
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN OLD.at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-7 days') BEGIN
    SELECT RAISE(ABORT, 'the audit log keeps this');
END;
