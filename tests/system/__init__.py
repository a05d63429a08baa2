"""The real twistd as a process, seen from outside: sockets, files, output, exit status."""
