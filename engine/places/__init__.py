"""Places: what a model carries of the worlds it was trained on.

What nobody has seen yet has many answers, and a small network that is asked for all of them at once gives their
average. So what a memory does not know is completed from the stored place that goes on best from what it does know
(Hays & Efros 2007, "Scene Completion Using Millions of Photographs"; Blattmann et al. 2022, "Semi-Parametric Neural
Image Synthesis"), read out as any latent memory is and joined to it; from then on it is memory.
"""

from engine.places.bank import Place, PlaceBank
from engine.places.bays import ALL_BAYS
from engine.places.completion import Places
from engine.places.inside import Retold
from engine.places.kinds import Kinds
from engine.places.lighting import LIGHT_SIZES
from engine.places.matching import MOST_PAST, MOST_ROOMS, Forgotten, Match
from engine.places.mirror import MirroredBank

__all__ = [
    "ALL_BAYS",
    "LIGHT_SIZES",
    "MOST_PAST",
    "MOST_ROOMS",
    "Forgotten",
    "Kinds",
    "Match",
    "MirroredBank",
    "Place",
    "PlaceBank",
    "Places",
    "Retold",
]
