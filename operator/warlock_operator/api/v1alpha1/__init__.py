"""Version v1alpha1 of the three kinds, as pydantic models."""

from warlock_operator.api.v1alpha1.game import Game
from warlock_operator.api.v1alpha1.gamehost import GameHost
from warlock_operator.api.v1alpha1.gameinstance import GameInstance
from warlock_operator.api.v1alpha1.parse import parse

__all__ = ["Game", "GameHost", "GameInstance", "parse"]
