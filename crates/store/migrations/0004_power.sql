-- The ways to machines' power switches. Passwords are names of secrets.

CREATE TABLE power (
    machine_id BIGINT PRIMARY KEY NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    spec       TEXT NOT NULL
);
