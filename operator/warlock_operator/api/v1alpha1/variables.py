"""The variables that a Game lets its instances set, and the patterns that hold them in."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import re2
from pydantic import Field

from warlock_operator.api.rules import Model, Rule
from warlock_operator.api.v1alpha1.values import Text, VariableName

_QUIET = re2.Options()
_QUIET.log_errors = False  # what is wrong is said by the rule
# Of one pattern. What takes more takes a tenth of a second as well, while nothing else is served,
# and a Game may have 64 of them.
_QUIET.max_mem = 2 << 20


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    # Alone first: "a)|(b" would compile in the brackets only, and match what begins with an a.
    re2.compile(pattern, _QUIET)
    return re2.compile(f"^(?:{pattern})$", _QUIET)


def pattern_compiles(pattern: str) -> bool:
    """Say whether *pattern* is a regular expression of RE2's, as the apiserver reads it."""
    try:
        _compiled(pattern)
    except (re2.error, UnicodeError):
        return False
    return True


def pattern_matches(pattern: str, value: str) -> bool:
    """
    Say whether the whole of *value* matches *pattern*, in time linear in both.

    The patterns are an admin's and the values a tenant's, so Python's own ``re``, which can take
    years on a few dozen characters, is not asked. RE2 itself is: in other engines of its kind
    ``\\d`` takes the digits of every script, and a pattern is what holds tenants in.
    """
    try:
        return _compiled(pattern).search(value) is not None
    except UnicodeError:  # half a character, which no text of the apiserver's has
        return False


class GameVariable(Model):
    """A variable that an instance may set."""

    rules = (
        # An invalid pattern is an error in CEL, and an error refuses the object with RE2's words.
        Rule(
            cel="!has(self.pattern) || ''.matches(self.pattern) in [true, false] && "
            "''.matches('^(?:' + self.pattern + ')$') in [true, false]",
            message="must be a regular expression in RE2's syntax, such as "
            "^[A-Za-z0-9 _.-]{1,40}$, with \\p{L} and its like at most 64 times",
            holds=lambda self: self.pattern is None or pattern_compiles(self.pattern),
            field="pattern",
        ),
        Rule(
            cel="!has(self.pattern) || !has(self.default) || "
            "self.default.matches('^(?:' + self.pattern + ')$')",
            message="must match the variable's own pattern",
            holds=lambda self: (
                self.pattern is None
                or self.default is None
                or pattern_matches(self.pattern, self.default)
            ),
            field="default",
        ),
    )

    name: VariableName = Field(
        description="Name of the variable in the instance's environment and in ${NAME}."
    )
    default: Text | None = Field(
        default=None,
        description="Value where the instance sets none. Absent: every instance must set it.",
    )
    pattern: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="Regular expression (RE2) that the whole value must match. Keep out what "
        "means something to the game: Quake engines start a new command at '+' and ';'. "
        "Absent: any printable text.",
    )
    description: Text = Field(default="", description="What the variable does, for tenants.")

    def accepts(self, value: str) -> bool:
        """Say whether an instance may give the variable this value."""
        return self.pattern is None or pattern_matches(self.pattern, value)
