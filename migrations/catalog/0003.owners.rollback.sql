DROP FUNCTION create_apps;
DROP FUNCTION create_app;
DROP TABLE app_owners;
