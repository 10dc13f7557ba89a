"""The commands by name, in the order in which help lists them."""

from __future__ import annotations

from mirage_app.commands.app import App
from mirage_app.commands.base import Command
from mirage_app.commands.bench import Bench
from mirage_app.commands.doctor import Doctor
from mirage_app.commands.evaluate import Eval
from mirage_app.commands.fly import Fly
from mirage_app.commands.train import Train
from mirage_app.commands.worlds import Worlds

COMMANDS: dict[str, type[Command]] = {
    "app": App,
    "fly": Fly,
    "worlds": Worlds,
    "train": Train,
    "bench": Bench,
    "eval": Eval,
    "doctor": Doctor,
}
DEFAULT_COMMAND = "app"
