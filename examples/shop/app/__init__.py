"""A shop window: greets from a private package, lists wares from PostgreSQL, counts visits in Valkey."""
