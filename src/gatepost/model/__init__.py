"""The words: frozen structs, enums and pure rules; no I/O, no clock."""
