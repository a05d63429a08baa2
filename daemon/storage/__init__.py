"""How values get to disk and stay there. Knows no service."""
