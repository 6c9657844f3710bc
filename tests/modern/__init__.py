"""Mail as it is written today, of our own wording: spam, clean mail and adverts in tables, made into mails."""
