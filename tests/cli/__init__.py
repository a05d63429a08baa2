"""The command line ``tsdaemon``."""
