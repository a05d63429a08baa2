"""The counter: how many requests there were in the last 60 seconds."""
