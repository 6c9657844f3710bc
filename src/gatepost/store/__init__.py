"""What lasts: the only room that says SQL or opens files."""
