"""Real peers for tests: a next hop that obeys a script, and a name server."""
