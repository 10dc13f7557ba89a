"""Make a tiny OpenGL context through Qt and print what it is as JSON.

Run as a process of its own: a broken driver may crash it.
"""

from __future__ import annotations

import json
import sys

GL_VENDOR, GL_RENDERER, GL_VERSION = 0x1F00, 0x1F01, 0x1F02


def probe() -> dict[str, str]:
    """Vendor, renderer and version, or ``error``."""
    from PyQt6.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
    from PyQt6.QtOpenGL import QOpenGLFunctions_2_0, QOpenGLVersionFunctionsFactory, QOpenGLVersionProfile

    application = QGuiApplication(sys.argv[:1])
    context = QOpenGLContext()
    if not context.create():
        return {"error": "Qt could not create an OpenGL context"}
    surface = QOffscreenSurface()
    surface.setFormat(context.format())
    surface.create()
    if not context.makeCurrent(surface):
        return {"error": "Qt could not make an OpenGL context current"}
    profile = QOpenGLVersionProfile()
    profile.setVersion(2, 0)
    functions = QOpenGLVersionFunctionsFactory.get(profile, context)
    if not isinstance(functions, QOpenGLFunctions_2_0):
        return {"error": "the OpenGL context is older than 2.0"}
    strings = {
        "vendor": functions.glGetString(GL_VENDOR),
        "renderer": functions.glGetString(GL_RENDERER),
        "version": functions.glGetString(GL_VERSION),
    }
    context.doneCurrent()
    del surface, context, application
    return {name: str(value) for name, value in strings.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()) + "\n")
