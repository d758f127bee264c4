"""
What every object has: metadata, conditions, label selectors. Shaped as Kubernetes shapes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from warlock_operator.api.names import Annotation, ConditionStatus
from warlock_operator.api.rules import ListKind, Model, Rule, StatusModel
from warlock_operator.api.v1alpha1.values import MAX_MESSAGE, Timestamp

MAX_CONDITIONS = 16


class ObjectMeta(Model):
    """The part of ``metadata`` that the operator reads; the rest is skipped."""

    model_config = ConfigDict(extra="ignore")

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    finalizers: tuple[str, ...] = ()
    annotations: Mapping[str, str] = Field(default_factory=dict)
    labels: Mapping[str, str] = Field(default_factory=dict)

    @property
    def deleting(self) -> bool:
        """Whether somebody has asked for the object's deletion."""
        return self.deletion_timestamp is not None

    def annotation(self, name: Annotation) -> str:
        """Value of an annotation; empty where it is absent."""
        return self.annotations.get(name, "")

    @property
    def paused(self) -> bool:
        """Whether nothing of the object may be touched on the machine."""
        return self.annotation(Annotation.PAUSED) == "true"

    @property
    def force_delete(self) -> bool:
        """Whether the object may go without its machine."""
        return self.annotation(Annotation.FORCE_DELETE) == "true"


class Condition(StatusModel):
    """One aspect of the object, as last seen."""

    type: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="What the condition is about, such as Ready."
    )
    status: ConditionStatus = Field(
        description="True, False, or Unknown where the machine can't be seen."
    )
    reason: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Why, in one CamelCase word for programs; the name of an error where one is."
    )
    message: Annotated[str, Field(max_length=MAX_MESSAGE)] = Field(
        default="",
        description=(
            "Why, for people: what was found and what to do about it. Where something is wrong, "
            "the first line ends in the place of the operator's documentation that says more."
        ),
    )
    last_transition_time: Timestamp = Field(
        description="When the status last changed from one of True, False and Unknown to another."
    )
    observed_generation: int = Field(
        default=0, ge=0, description="The metadata.generation that the condition was made from."
    )


BY_TYPE = ListKind("type")

Conditions = Annotated[tuple[Condition, ...], Field(max_length=MAX_CONDITIONS), BY_TYPE]


class SelectorOperator(StrEnum):
    """How a label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


MAX_LABEL_KEY = 317
_LabelKey = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_KEY)]
_LabelValue = Annotated[str, Field(max_length=63)]


class LabelRequirement(Model):
    """One requirement on a label."""

    rules = (
        Rule(
            cel="self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 "
            ": !has(self.values) || size(self.values) == 0",
            message="In and NotIn need values, Exists and DoesNotExist take none",
            holds=lambda self: bool(self.values) == (self.operator in ("In", "NotIn")),
            field="values",
        ),
    )

    key: _LabelKey = Field(description="Name of the label.")
    operator: SelectorOperator = Field(
        description="In and NotIn compare the label's value with values; Exists and DoesNotExist "
        "ask only whether the label is there."
    )
    values: Annotated[tuple[_LabelValue, ...], Field(max_length=32)] = Field(
        default=(), description="What In and NotIn compare with."
    )

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Say whether *labels* meet the requirement, as Kubernetes does."""
        value = labels.get(self.key)
        return {
            SelectorOperator.IN: value is not None and value in self.values,
            SelectorOperator.NOT_IN: value is None or value not in self.values,
            SelectorOperator.EXISTS: value is not None,
            SelectorOperator.DOES_NOT_EXIST: value is None,
        }[self.operator]


class LabelSelector(Model):
    """Labels that an object must have; an empty selector admits everything."""

    # As in Kubernetes' own kinds. Merged key by key, a selector that server-side apply empties
    # would become null, which no field here may be.
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    # A schema bounds a map's values, and not its keys.
    rules = (
        Rule(
            cel="!has(self.matchLabels) || self.matchLabels.all(key, size(key) >= 1 && "
            f"size(key) <= {MAX_LABEL_KEY})",
            message=f"a label's name has 1 to {MAX_LABEL_KEY} characters",
            holds=lambda self: all(1 <= len(key) <= MAX_LABEL_KEY for key in self.match_labels),
            field="matchLabels",
        ),
    )

    match_labels: Annotated[Mapping[_LabelKey, _LabelValue], Field(max_length=32)] = Field(
        default_factory=dict, description="Labels and the values that they must have, all of them."
    )
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=16)] = Field(
        default=(), description="Further requirements, all of which must be met."
    )

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Say whether *labels* meet every requirement."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.admits(labels) for requirement in self.match_expressions
        )
