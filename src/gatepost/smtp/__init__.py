"""The front door: the only room that imports aiosmtpd."""
