"""The callback service: looks up what callbacks name, and keeps the objects that are online."""
