"""The project as it is installed: wheels, fresh environments, and a plugin from outside."""
