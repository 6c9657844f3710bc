"""What tells spam from clean mail: each module reads one side of a mail and names the symbols that it shows."""
