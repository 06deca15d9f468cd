INSERT INTO applied (kind, name, spec, at, by_whom) VALUES ('profile', 'debian-12', '{"title":"Debian 12"}', 1700000004000, 'ann');
