"""The timestamp server: stores one Unix timestamp, and reads it back."""
