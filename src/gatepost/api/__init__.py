"""The side door: the REST APIs, dialects over the services."""
