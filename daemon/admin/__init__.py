"""The admin service: how the daemon and its services are, for people and for programs."""
