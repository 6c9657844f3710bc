"""The window: pages over the same services, and the files that they are made of."""
