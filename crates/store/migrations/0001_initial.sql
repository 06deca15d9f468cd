-- The same text runs on SQLite and PostgreSQL: BIGINT milliseconds since 1970, JSON as TEXT,
-- identities from `sequences` (the two databases spell auto-increment differently).

CREATE TABLE meta (
    name  TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

-- Marks a database as ours, so that no other program's is taken for one.
INSERT INTO meta (name, value) VALUES ('application', 'farrier');

-- The next identity of each kind. Never reused, so that an old link finds nothing rather than
-- something else.
CREATE TABLE sequences (
    name TEXT PRIMARY KEY NOT NULL,
    next BIGINT NOT NULL
);

INSERT INTO sequences (name, next) VALUES ('machines', 1), ('events', 1), ('api_tokens', 1);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

CREATE TABLE profiles (
    name TEXT PRIMARY KEY NOT NULL,
    spec TEXT NOT NULL
);

-- name_key is the name in lower case: names are unique without regard to case.
CREATE TABLE machines (
    id         BIGINT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL UNIQUE,
    uuid       TEXT,
    serial     TEXT,
    labels     TEXT NOT NULL,
    state      TEXT NOT NULL,
    loader     TEXT,
    facts      TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT
);

CREATE TABLE machine_macs (
    mac        TEXT PRIMARY KEY NOT NULL,
    machine_id BIGINT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    position   BIGINT NOT NULL
);

CREATE INDEX machine_macs_by_machine ON machine_macs (machine_id);

CREATE TABLE assignments (
    machine_id BIGINT PRIMARY KEY NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    profile    TEXT NOT NULL REFERENCES profiles (name)
);

CREATE INDEX assignments_by_profile ON assignments (profile);

-- machine_id refers to no row: the history outlives a deleted machine.
CREATE TABLE events (
    id         BIGINT PRIMARY KEY NOT NULL,
    at         BIGINT NOT NULL,
    machine_id BIGINT,
    mac        TEXT,
    body       TEXT NOT NULL
);

CREATE INDEX events_by_machine ON events (machine_id, id);
CREATE INDEX events_by_mac ON events (mac, id);
CREATE INDEX events_by_time ON events (at);

CREATE TABLE users (
    name_key      TEXT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created       BIGINT NOT NULL
);

-- hash: SHA-256 of the cookie's secret, in hexadecimal.
CREATE TABLE sessions (
    hash     TEXT PRIMARY KEY NOT NULL,
    user_key TEXT NOT NULL REFERENCES users (name_key) ON DELETE CASCADE,
    created  BIGINT NOT NULL,
    expires  BIGINT NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_key);

CREATE TABLE api_tokens (
    id        BIGINT PRIMARY KEY NOT NULL,
    hash      TEXT NOT NULL UNIQUE,
    user_key  TEXT NOT NULL REFERENCES users (name_key) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    created   BIGINT NOT NULL,
    last_used BIGINT,
    expires   BIGINT
);
