-- Rules, orders to install, and doubt about whose address one is. The same text runs on SQLite
-- and PostgreSQL.

ALTER TABLE machines ADD COLUMN asset TEXT;
ALTER TABLE machines ADD COLUMN notes TEXT NOT NULL DEFAULT '';
ALTER TABLE machines ADD COLUMN local_boot TEXT;

ALTER TABLE assignments ADD COLUMN mode TEXT NOT NULL DEFAULT 'always';

CREATE TABLE rules (
    name TEXT PRIMARY KEY NOT NULL,
    spec TEXT NOT NULL
);

-- ended: when it came to its end; the newest run of a machine is the one in force.
CREATE TABLE runs (
    id         BIGINT PRIMARY KEY NOT NULL,
    machine_id BIGINT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    spec       TEXT NOT NULL,
    ended      BIGINT
);

CREATE INDEX runs_by_machine ON runs (machine_id, id);

-- Addresses of which a person has to say whose they are; gone when that is said.
CREATE TABLE conflicts (
    mac      TEXT PRIMARY KEY NOT NULL,
    suspects TEXT NOT NULL,
    since    BIGINT NOT NULL
);

-- Adapters that several machines use, as a person said.
CREATE TABLE shared_macs (
    mac   TEXT PRIMARY KEY NOT NULL,
    why   TEXT NOT NULL,
    since BIGINT NOT NULL
);

INSERT INTO sequences (name, next) VALUES ('runs', 1);
