"""What tsdaemon finds. Strings only: tsdaemon_echo is imported when it is needed."""

from daemon.plugin import ServicePlugin

echo = ServicePlugin("echo", "tsdaemon_echo", "Answers each line with a greeting and the line.")
