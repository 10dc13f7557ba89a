"""One file a command: a light dataclass of its arguments, and ``run`` that imports the work when it is asked for."""
