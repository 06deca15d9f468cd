UPDATE machines SET variables = '{"hostname":"db"}' WHERE id = 10;
INSERT INTO objects (kind, name, spec) VALUES ('template', 'preseed', '{"kind":"template","name":"preseed","text":"d-i passwd/root-login boolean {{ root }}\n"}');
INSERT INTO objects (kind, name, spec) VALUES ('group', 'rack1', '{"kind":"group","name":"rack1","selector":{"label":{"rack":["1"]}},"variables":{"root":true}}');
INSERT INTO secrets (name, sealed, changed, by_whom) VALUES ('root-password-hash', 'SEALED', 1700000003000, 'ann');
INSERT INTO link_uses (run_id, attempt, name, at, ip) VALUES (1, 1, 'preseed.cfg', 1700000003000, '10.0.0.9');
