"""The command line ``tsdaemon``: asks, feeds and checks the daemon; only ``check`` is Twisted."""
