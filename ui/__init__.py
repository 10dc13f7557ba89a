"""The window: Qt widgets and VisPy panels over the engine's worker. Nothing here imports torch or open3d."""
