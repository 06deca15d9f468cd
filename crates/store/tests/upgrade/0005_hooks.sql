INSERT INTO hooks (name, spec, told, problem) VALUES ('chat', '{"name":"chat","url":"https://chat.example/x","events":["changed"],"secret":"hook.chat"}', 1700000003000, NULL);
INSERT INTO hook_outbox (id, hook, body, made, tries, due) VALUES (1, 'chat', '{"headline":"x"}', 1700000003000, 1, 1700000009000);
UPDATE sequences SET next = 2 WHERE name = 'hook_outbox';
