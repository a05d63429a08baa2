"""The daemon for ``twistd -n -y tsdaemon.tac``: settings come from the environment."""

from twisted.application.service import Application

from daemon.tap import Options, makeService

options = Options()
options.parseOptions([])

application = Application("tsdaemon")
makeService(options).setServiceParent(application)
