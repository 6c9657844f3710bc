"""The text of a mail: bytes to meaning and back; it looks into no tenant and no policy."""
