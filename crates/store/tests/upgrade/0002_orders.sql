INSERT INTO rules (name, spec) VALUES ('web', '{"name":"web","selector":{"label":{"role":["web"]}},"profile":"debian-12","mode":"install-once"}');
INSERT INTO machines (id, name, name_key, labels, state, facts, first_seen, asset, notes, local_boot) VALUES (10, 'db-1', 'db-1', '{}', 'registered', '{}', 1700000000000, '42', 'slow', 'exit');
INSERT INTO machine_macs (mac, machine_id, position) VALUES ('02:00:00:00:00:0a', 10, 0);
UPDATE sequences SET next = 11 WHERE name = 'machines';
INSERT INTO assignments (machine_id, profile, mode) VALUES (10, 'debian-12', 'install-once');
INSERT INTO runs (id, machine_id, spec, ended) VALUES (1, 10, '{"id":1,"kind":"install","profile":"debian-12","state":{"state":"held","why":{"held":"tries","tries":3}},"since":1700000003000,"phase":"base-system","tries":3,"limit":{"tries":3,"minutes":60},"turn":{"turn":"none"},"counted":true,"to_disk":false,"started":1700000001000,"sign":1700000002000,"by":"ann"}', NULL);
UPDATE sequences SET next = 2 WHERE name = 'runs';
INSERT INTO conflicts (mac, suspects, since) VALUES ('02:00:00:00:00:03', '[{"machine":2,"evidence":["mac"]},{"machine":1,"evidence":["uuid"]}]', 1700000003000);
INSERT INTO shared_macs (mac, why, since) VALUES ('02:00:00:00:00:d0', 'the dock in room 7', 1700000003000);
