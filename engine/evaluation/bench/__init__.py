"""The benchmark (``mirage bench``): time and memory of latent spatial memory against what it replaces, on this
machine.
"""
