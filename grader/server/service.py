"""What the routes share: the store, who may log in, the exercises, how workers are told, and the limits."""

from typing import Annotated, Protocol

from fastapi import Depends, Request

from grader.records import Progress
from grader.server.access import Caller, caller, owner, progress
from grader.server.canary import Canary
from grader.server.catalogue import Catalogue
from grader.server.limits import Buckets
from grader.server.settings import Settings
from grader.server.watch import Watch
from grader.store import Store
from grader.store.courses import Courses
from grader.store.gpus import Gpus
from grader.store.identity import Identity

_BURST = 1 / 3
_LOGINS_PER_MINUTE = 10.0
"""Of one name."""
_DEVICES_PER_MINUTE = 600.0
"""Of everybody: a workshop begins."""


class Bell(Protocol):
    """Tells whoever judges that there is work; `grader.queue.Queue` is one."""

    def send(self, queue: str, number: int = 1) -> int:
        """Tell it for a queue; returns how often it was told: whoever is missed finds out by itself."""


class Service:
    """All that lives as long as the server."""

    def __init__(self, settings: Settings, store: Store, bell: Bell) -> None:
        """Start nothing yet."""
        self.settings = settings
        self.store = store
        self.identity = Identity(store)
        self.courses = Courses(store)
        self.gpus = Gpus(store)
        self.bell = bell
        self.catalogue = Catalogue()
        self.submitting = Buckets(settings.submissions_per_minute, settings.submissions_per_minute * _BURST)
        self.logins = Buckets(_LOGINS_PER_MINUTE, _LOGINS_PER_MINUTE)
        self.devices = Buckets(_DEVICES_PER_MINUTE, _DEVICES_PER_MINUTE * _BURST)
        self.watch = Watch(store)
        self.canary = Canary(settings, store, bell, self.catalogue)


async def service(request: Request) -> Service:
    """Return the service that a request is for."""
    found: Service = request.app.state.service
    return found


On = Annotated[Service, Depends(service)]
Who = Annotated[Caller, Depends(caller)]
Owner = Annotated[str, Depends(owner)]
Judging = Annotated[Progress, Depends(progress)]
