"""Names and prose are held to the tables of docs/contributing/vocabulary.md."""
