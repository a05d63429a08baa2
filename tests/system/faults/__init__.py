"""The whole daemon while disk, clock, descriptors and peers fail, under load on all services."""
