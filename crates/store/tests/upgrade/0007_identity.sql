UPDATE conflicts SET claims = '[{"uuid":"12345678-9abc-def0-1122-334455667788","serial":"S1"}]', quiet = 1;
