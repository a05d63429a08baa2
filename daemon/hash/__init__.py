"""The hash service: passwords hashed with SHA-512 after a delay, as jobs."""
