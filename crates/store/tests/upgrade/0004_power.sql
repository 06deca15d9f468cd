INSERT INTO power (machine_id, spec) VALUES (10, '{"redfish":{"url":"https://10.9.0.3","user":"admin","password_secret":"power.db-1"},"wake":true}');
