"""What the API answers, as pydantic models: they make the OpenAPI document, and check what goes out."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from grader.verdict import Verdict

_ID = Field(examples=["s_0199a3b1c7d24f0e"])
_STATUS = Literal["queued", "running", "done"]


class Shape(BaseModel):
    """Made from any object that has the fields as attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Body(BaseModel):
    """What a request holds: nothing that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Shape):
    """Every error, RFC 9457; `code` is what `grader explain` takes."""

    type: str = Field(examples=["/v1/problems/E5101"])
    title: str = Field(examples=["nothing of that name or id is here"])
    status: int = Field(examples=[404])
    code: str = Field(examples=["E5101"])
    detail: str = Field(examples=["no submission 's_0199a3b1c7d24f0e'"])
    hint: str = Field(examples=["`grader history EX` lists yours"])


class Explanation(Shape):
    """One entry of the catalogue of errors."""

    code: str = Field(examples=["E2117"])
    what: str
    cause: str
    hint: str


class Listed(Shape):
    """One exercise in a list."""

    name: str = Field(examples=["softmax"])
    title: str = Field(examples=["Softmax"])
    track: str
    difficulty: int
    kind: Literal["numpy", "torch"]
    version: str = Field(description="Content hash of everything that can change a verdict.")
    functions: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    limits: dict[str, int | float]
    closed: bool = Field(description="It takes no submissions at the moment.")


class ExerciseList(Shape):
    """All exercises."""

    exercises: list[Listed]


class Whole(Listed):
    """An exercise: all that a student works from. Hidden tests and reference never leave the server."""

    statement: str = Field(description="Markdown.")
    starter: str = Field(description="The file to begin with.")
    public_tests: str = Field(description="The public examples, to run locally.")
    policy: dict[str, list[str]]


class Links(Shape):
    """Where to go on."""

    submission: str
    judging: str
    events: str
    report: str


def links(submission: str, judging: str) -> Links:
    """Return the addresses of a submission and its judging."""
    return Links(
        submission=f"/v1/submissions/{submission}",
        judging=f"/v1/judgings/{judging}",
        events=f"/v1/judgings/{judging}/events",
        report=f"/v1/judgings/{judging}/report",
    )


class Accepted(Shape):
    """A submission that is stored for good, and whose judging is queued."""

    submission: str = _ID
    judging: str = Field(examples=["j_0199a3b1c7d25a1b"])
    attempt: int = Field(examples=[1])
    replayed: bool = Field(
        description="It had been sent before under the same Idempotency-Key: nothing was stored now."
    )
    links: Links


class Judging(Shape):
    """One run of the judge on a submission."""

    judging: str = Field(examples=["j_0199a3b1c7d25a1b"])
    submission: str = _ID
    exercise: str = Field(examples=["softmax"])
    status: _STATUS
    verdict: Verdict | None
    queue: str = Field(examples=["cpu"])
    phases: dict[str, dt.datetime] = Field(
        description="received, queued, claimed, ready, judged, stored: when each was reached."
    )
    before: int | None = Field(default=None, description="While queued: how many are judged before this one.")


class JudgingOf(Shape):
    """One judging in a submission's list."""

    judging: str = Field(examples=["j_0199a3b1c7d25a1b"])
    ordinal: int
    status: _STATUS
    verdict: Verdict | None
    score: float | None
    max_score: float | None
    counts: bool = Field(description="False for one of a regrade that never lowers, which came out lower.")
    queue: str = Field(examples=["cpu"])
    version: str
    phases: dict[str, dt.datetime]


class Attempt(Shape):
    """A submission and the judging that speaks for it."""

    attempt: int
    submission: str = _ID
    judging: str
    created_at: dt.datetime
    status: _STATUS
    verdict: Verdict | None
    score: float | None
    max_score: float | None
    sha256: str
    filename: str = Field(examples=["softmax.py"])


class Submission(Attempt):
    """A submission with all its judgings, the oldest first."""

    exercise: str = Field(examples=["softmax"])
    judgings: list[JudgingOf]


class Line(Attempt):
    """A submission in a history, with its other judgings, the oldest first."""

    others: list[JudgingOf]


class History(Shape):
    """A learner's submissions for an exercise, the newest first."""

    exercise: str
    submissions: list[Line]


class Place(Shape):
    """One line of a leaderboard."""

    rank: int
    name: str
    score: float
    max_score: float
    speed_ratio: float | None
    """How many times the reference's time it takes, to two digits; the lower comes first. Null: not timed."""
    reached_at: dt.datetime


class Leaderboard(Shape):
    """The best learners of the organisation who chose to show a name."""

    exercise: str
    places: list[Place]


class Sent(Shape):
    """One submission as staff see it."""

    learner: str
    attempt: Attempt


class SentPage(Shape):
    """Submissions of an organisation, the newest first; `next` is `before` of the next page."""

    exercise: str
    submissions: list[Sent]
    next: str | None


class Candidate(Shape):
    """A submission whose verdict was reached against another version of its exercise."""

    submission: str
    learner: str
    judging: str
    version: str
    verdict: Verdict
    score: float
    max_score: float


class CandidatePage(Shape):
    """What a regrade would judge again, the oldest first; `next` is `after` of the next page."""

    exercise: str
    version: str
    candidates: list[Candidate]
    next: str | None


class NewRegrade(Body):
    """Judge again what was judged against another version of the exercise."""

    never_lower: bool = Field(default=False, description="Let nobody lose points by it.")


class Regrade(Shape):
    """A regrade and how far it is; `failed`, of those done, ended by our own fault."""

    regrade: str = Field(examples=["r_0199a3b1c7d25a1b"])
    exercise: str
    version: str
    never_lower: bool
    by: str
    created_at: dt.datetime
    ended_at: dt.datetime | None
    total: int
    waiting: int
    done: int
    failed: int


class Regraded(Shape):
    """The regrade that has begun, or was under way; null where nothing is to be judged again."""

    regrade: Regrade | None


class RegradeList(Shape):
    """Regrades of an exercise, the newest first."""

    exercise: str
    regrades: list[Regrade]


class Mark(Shape):
    """What a judging gave."""

    judging: str
    version: str
    verdict: Verdict
    score: float
    max_score: float


class Change(Shape):
    """A submission that a regrade judged otherwise; `counts` is false where it stays as it was."""

    learner: str
    submission: str
    attempt: int
    before: Mark
    after: Mark
    counts: bool


class ChangePage(Shape):
    """Changes, the oldest submission first; `next` is `after` of the next page."""

    exercise: str
    regrade: str
    changes: list[Change]
    next: str | None


class Overruling(Body):
    """Why staff waive the policy; everyone who sees the report reads it."""

    reason: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S", examples=["the name is in a comment"])]


class Login(Body):
    """A person's name and password."""

    organisation: str = Field(default="main", max_length=100, examples=["main"])
    name: str = Field(max_length=100, examples=["ada"])
    password: str = Field(max_length=1000, examples=["correct horse battery staple"])
    label: str = Field(default="login", max_length=100)


class NewToken(Body):
    """What a token is for; it can do no more than the one that asks for it, and lasts no longer."""

    label: str = Field(max_length=100, examples=["course website"])
    scopes: list[Literal["submit", "read", "staff", "operate"]] = Field(min_length=1, max_length=4)
    days: float | None = Field(default=None, gt=0, le=3650)


class Token(Shape):
    """What is known of a token; not the token."""

    id: str
    label: str
    scopes: list[str]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None


class TokenList(Shape):
    """An account's tokens, the newest first."""

    tokens: list[Token]


class Issued(Token):
    """A new token, told this once."""

    token: str


class Device(Body):
    """Begin a login by device code (RFC 8628)."""

    label: str = Field(default="command line", max_length=100)
    scopes: list[Literal["submit", "read", "staff", "operate"]] = Field(
        default=["submit", "read"], min_length=1, max_length=4
    )


class Started(Shape):
    """Show the user code to the person, poll with the device code."""

    device_code: str
    user_code: str = Field(examples=["BCDF-GHJK"])
    expires_at: dt.datetime
    poll_seconds: float


class PollDevice(Body):
    """Ask whether the login was approved."""

    device_code: str = Field(max_length=200)


class Polled(Shape):
    """How the login stands; with the token, once, where it is approved."""

    status: Literal["pending", "slow_down", "denied", "expired", "approved"]
    token: str


class Asked(Shape):
    """What a person is asked to approve."""

    user_code: str
    label: str
    scopes: list[str]


class Answer(Body):
    """Approve a login, or deny it."""

    approve: bool


class Account(Shape):
    """Who is logged in."""

    id: str
    organisation: str
    name: str
    role: Literal["learner", "instructor", "hiring", "operator"]
    public_name: str | None
    scopes: list[str]
    token: str = Field(description="The id of the token that asks.")
    expires_at: dt.datetime | None


class PublicName(Body):
    """The name to show on leaderboards; null for none."""

    public_name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^\S(.*\S)?$")] | None


class Health(Shape):
    """The server answers; that it can work is `/ready`."""

    status: Literal["alive"]
    version: str = Field(description="The server's grader.", examples=["0.1.0"])


class Ready(Shape):
    """The database answers and, where canaries are judged, one was lately."""

    status: Literal["ready"]
    canary_age_seconds: float | None
