"""The counter: what people may ask; permission is checked here, once."""
