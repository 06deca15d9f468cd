-- Web hooks, and what is still to be told to them.

-- told: when its receiver last took something; problem: why it did not, since then.
CREATE TABLE hooks (
    name    TEXT PRIMARY KEY NOT NULL,
    spec    TEXT NOT NULL,
    told    BIGINT,
    problem TEXT
);

-- Written in the transaction of the event. Only the first of each hook is tried.
CREATE TABLE hook_outbox (
    id    BIGINT PRIMARY KEY NOT NULL,
    hook  TEXT NOT NULL REFERENCES hooks (name) ON DELETE CASCADE,
    body  TEXT NOT NULL,
    made  BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    due   BIGINT NOT NULL
);

CREATE INDEX hook_outbox_by_hook ON hook_outbox (hook, id);

INSERT INTO sequences (name, next) VALUES ('hook_outbox', 1);
