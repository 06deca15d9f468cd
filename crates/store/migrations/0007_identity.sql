-- What an address in conflict said of itself, and whether its own machine asked last.

ALTER TABLE conflicts ADD COLUMN claims TEXT NOT NULL DEFAULT '[]';
ALTER TABLE conflicts ADD COLUMN quiet BIGINT NOT NULL DEFAULT 0;

-- A second card used to become a machine of its own with its machine's UUID. It has to say that
-- again, and then it is asked whose it is.
UPDATE machines SET uuid = NULL WHERE state = 'discovered' AND uuid IN
    (SELECT uuid FROM machines WHERE uuid IS NOT NULL GROUP BY uuid HAVING COUNT(*) > 1);
