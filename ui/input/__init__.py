"""From keys, mouse and touchpad to motion."""
