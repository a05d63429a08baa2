"""The callback service: takes callbacks, looks up their objects, and keeps those that are online."""
