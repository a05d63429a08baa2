"""The book: its examples are run, and what it says of the program is compared with that."""
