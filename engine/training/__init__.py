"""Training the embedded model: rendered scenes, three stages, one loop. Needs torch, numpy, scipy, safetensors,
rich and numba only."""
