"""HTTP/1.1 for Klein applications, parsed by llhttp. Knows no service."""
