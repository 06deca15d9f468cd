-- What a person said of an address in conflict outlives the conflict, and moves to another server.

-- Nobody has adopted it, but a person said who it is: it is kept, and exported.
ALTER TABLE machines ADD COLUMN settled BIGINT NOT NULL DEFAULT 0;
-- Of a shared adapter, so that files can own it.
ALTER TABLE shared_macs ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
