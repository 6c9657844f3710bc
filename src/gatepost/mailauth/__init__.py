"""The proofs: keys and signatures that say who wrote a mail."""
