"""tsdaemon: five small network services in one Twisted daemon."""

__version__ = "0.1.0"
