"""Every SQL text of the data plane, composed with psycopg.sql; nothing here talks to a server."""
