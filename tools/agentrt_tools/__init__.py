"""Ready-made tools: fetching documents, searching an index, reading a SQLite database."""
