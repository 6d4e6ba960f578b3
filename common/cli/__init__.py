"""The command line. Commands are tables of names; what they run is imported when it is called."""
