"""Gatepost: a mail security relay with its management API in one process."""
