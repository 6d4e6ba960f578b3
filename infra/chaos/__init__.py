"""Breaking the platform on purpose, and counting what is lost."""
