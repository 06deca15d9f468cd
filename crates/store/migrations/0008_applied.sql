-- What files last made of an object (JSON), so that an edit made since is seen before it is undone.
-- name: of a machine its identity, which outlives its name.
CREATE TABLE applied (
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    spec    TEXT NOT NULL,
    at      BIGINT NOT NULL,
    by_whom TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
