"""How the tables came to be, step by step; alembic runs these when a database is behind."""
