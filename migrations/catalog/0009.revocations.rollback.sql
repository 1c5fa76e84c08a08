DROP TABLE token_minimum_changes;
DROP TABLE token_minimums;
