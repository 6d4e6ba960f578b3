"""What two or more packages need. Imports nothing from the other packages."""
