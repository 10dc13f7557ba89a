"""The world: latent spatial memory, world models, explorer. Qt-free; everything here runs headless."""
