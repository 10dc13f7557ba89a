"""Mirage's own look: one set of colours, sizes and fonts, applied as palette and style sheet on top of Fusion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PyQt6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PyQt6.QtWidgets import QApplication, QWidget

# Grounds go from the window (deepest) to things that are lifted off it.
GROUND = "#0d1014"
PANEL = "#13171d"
RAISED = "#1b2028"
HOVER = "#252c36"
PRESSED = "#2e3641"
LINE = "#252b35"
LINE_STRONG = "#39424f"

TEXT = "#e8ebf0"
TEXT_SOFT = "#a9b3c1"
TEXT_FAINT = "#7f8b9b"

ACCENT = "#7fc8c2"
ACCENT_HOVER = "#9ad8d2"
ACCENT_PRESSED = "#63aaa5"
ON_ACCENT = "#08201f"

# The two colours that carry meaning everywhere: what the memory knew, and what the model made up.
REMEMBERED = ACCENT
IMAGINED = "#e9b072"

GOOD = "#8fcf93"
WARNING = "#e9b072"
ERROR = "#ea8a80"

SPACE = 4
"""Spacing grid in pixels; margins and gaps are multiples of it."""
RADIUS = 7

_SANS = (
    "Inter",
    "Segoe UI Variable Text",
    "Segoe UI",
    ".AppleSystemUIFont",
    "Cantarell",
    "Ubuntu",
    "Noto Sans",
    "Nimbus Sans",
    "DejaVu Sans",
)
_MONO = ("JetBrains Mono", "SF Mono", "Cascadia Mono", "Ubuntu Mono", "Noto Sans Mono", "DejaVu Sans Mono")
_BASE_POINT_SIZE = 10.0
_SHEET = Path(__file__).with_name("theme.qss")
ICON_DIR = Path(__file__).resolve().parent.parent / "assets" / "icons"


def _first_family(wanted: tuple[str, ...], generic: QFontDatabase.SystemFont) -> str:
    available = {
        family.split(" [")[0] for family in QFontDatabase.families()
    }  # "Name [foundry]" where two faces share a name
    for family in wanted:
        if family in available:
            return family
    return QFontDatabase.systemFont(generic).family()


def sans_family() -> str:
    """The best text face that this machine has."""
    return _first_family(_SANS, QFontDatabase.SystemFont.GeneralFont)


def mono_family() -> str:
    """The best face with figures of equal width that this machine has."""
    return _first_family(_MONO, QFontDatabase.SystemFont.FixedFont)


def mono_font(size: float = 0.0, scale: float = 1.0) -> QFont:
    """A fixed-pitch font; ``size`` in points, 0 for slightly smaller than the app's text."""
    font = QFont(mono_family())
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPointSizeF((size or _BASE_POINT_SIZE - 1.0) * scale)
    return font


def color(value: str, alpha: float = 1.0) -> QColor:
    """A ``QColor`` of one of the names above, ``alpha`` in [0, 1]."""
    result = QColor(value)
    result.setAlphaF(alpha)
    return result


def rgba(value: str) -> tuple[float, float, float, float]:
    """One of the names above as floats in [0, 1], for GL."""
    c = QColor(value)
    return c.redF(), c.greenF(), c.blueF(), c.alphaF()


def coverage_color(coverage: float) -> QColor:
    """Imagined (0) to remembered (1)."""
    known = float(np.clip(coverage, 0.0, 1.0))
    a, b = QColor(IMAGINED), QColor(REMEMBERED)
    mix = [round((1.0 - known) * x + known * y) for x, y in zip(a.getRgb()[:3], b.getRgb()[:3], strict=True)]
    return QColor(*mix)


def coverage_rgb(coverage: np.ndarray) -> np.ndarray:
    """``coverage (...)`` in [0, 1] -> ``(..., 3)`` uint8 from the imagined to the remembered colour."""
    known = np.clip(np.nan_to_num(coverage), 0.0, 1.0)[..., None]
    a, b = (np.array(QColor(c).getRgb()[:3], float) for c in (IMAGINED, REMEMBERED))
    return np.rint((1.0 - known) * a + known * b).astype(np.uint8)


def palette() -> QPalette:
    """The dark palette for whatever the style sheet does not reach (native-looking dialogs, tool tips, selections)."""
    result = QPalette()
    role = QPalette.ColorRole
    for name, value in (
        (role.Window, GROUND),
        (role.WindowText, TEXT),
        (role.Base, PANEL),
        (role.AlternateBase, RAISED),
        (role.Text, TEXT),
        (role.Button, RAISED),
        (role.ButtonText, TEXT),
        (role.BrightText, ERROR),
        (role.ToolTipBase, RAISED),
        (role.ToolTipText, TEXT),
        (role.PlaceholderText, TEXT_FAINT),
        (role.Highlight, ACCENT),
        (role.HighlightedText, ON_ACCENT),
        (role.Link, ACCENT),
        (role.LinkVisited, ACCENT_PRESSED),
        (role.Light, HOVER),
        (role.Midlight, RAISED),
        (role.Mid, LINE),
        (role.Dark, GROUND),
        (role.Shadow, "#000000"),
    ):
        result.setColor(name, QColor(value))
    for name in (role.WindowText, role.Text, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, name, QColor("#5b6573"))
    return result


def style_sheet(font_scale: float = 1.0) -> str:
    """The style sheet with colours and font sizes (points, times ``font_scale``) filled in."""
    size = _BASE_POINT_SIZE * font_scale
    names = {key.lower(): value for key, value in globals().items() if key.isupper() and isinstance(value, str)}
    names["icons"] = ICON_DIR.as_posix()
    names |= {
        "font_tiny": f"{size * 0.8:.1f}pt",
        "font_small": f"{size * 0.9:.1f}pt",
        "font_body": f"{size:.1f}pt",
        "font_title": f"{size * 1.3:.1f}pt",
        "font_display": f"{size * 2.6:.1f}pt",
        "sans": sans_family(),
        "mono": mono_family(),
        "radius": f"{RADIUS}px",
    }
    sheet = _SHEET.read_text(encoding="utf-8")
    for key in sorted(names, key=len, reverse=True):  # longest first: @accent must not eat @accent_hover
        sheet = sheet.replace(f"@{key}", names[key])
    return sheet


def apply(app: QApplication, font_scale: float = 1.0) -> None:
    """Dress the whole application."""
    app.setStyle("Fusion")
    font = QFont(sans_family())
    font.setPointSizeF(_BASE_POINT_SIZE * font_scale)
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    app.setFont(font)
    app.setPalette(palette())
    app.setStyleSheet(style_sheet(font_scale))


def set_role(widget: QWidget, role: str) -> None:
    """Give a widget a look from the style sheet: ``primary``, ``quiet``, ``danger``, ``title``, ``display``, ``soft``,
    ``faint``, ``mono``, ``card``.
    """
    widget.setProperty("role", role)
    style = widget.style()
    if style is not None:
        style.unpolish(widget)
        style.polish(widget)
