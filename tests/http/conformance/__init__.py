"""Raw requests and what must become of them, by subject; see ``case.py`` for a row's meaning."""
