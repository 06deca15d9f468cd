-- What answers are made of, secrets sealed with the key file, and which answers that are for one
-- use were fetched. The same text runs on SQLite and PostgreSQL.

ALTER TABLE machines ADD COLUMN variables TEXT NOT NULL DEFAULT '{}';

-- kind: template, snippet, group.
CREATE TABLE objects (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    spec TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);

-- sealed: see the store's vault; useless without the key file.
CREATE TABLE secrets (
    name    TEXT PRIMARY KEY NOT NULL,
    sealed  TEXT NOT NULL,
    changed BIGINT NOT NULL,
    by_whom TEXT NOT NULL
);

CREATE TABLE link_uses (
    run_id  BIGINT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    name    TEXT NOT NULL,
    at      BIGINT NOT NULL,
    ip      TEXT NOT NULL,
    PRIMARY KEY (run_id, attempt, name)
);
