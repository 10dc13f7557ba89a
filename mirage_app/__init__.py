"""Assembly: the command line, configuration, logging and the wiring of engine and window."""
