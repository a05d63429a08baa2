"""tsdaemon: five small network services in one Twisted daemon."""

import os

from daemon.processor import choose_instructions

__version__ = "0.1.0"

choose_instructions(os.environ)
