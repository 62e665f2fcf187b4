"""Who may do what: the station's users with their roles; others, if at all, may only read."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.crypto.permission_rules import USER_TYPES, PermissionRuleset, User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import UserManager

from ...errors import InputError
from ...station.pacing import Bucket, Queue
from ...station.users import Role, is_password, read_users
from ...text import Say, shown

__all__ = ["CALLER", "Caller", "Paces", "Rules", "StationServer", "StationUsers"]

_NOBODY = User(role=UserRole.Anonymous)
_READING = {ua.NodeId(one) for one in USER_TYPES if one != ua.ObjectIds.WriteRequest_Encoding_DefaultBinary}


@dataclass
class Caller(User):
    """A client that was let in; ``station_role`` is what it may do at the station."""

    role: UserRole = UserRole.User
    name: str | None = None
    station_role: Role = "viewer"


CALLER: ContextVar[Caller | None] = ContextVar("CALLER", default=None)
"""Who calls the method that runs."""


class StationUsers(UserManager):
    """The users in the file ``path``. A password is taken over an encrypted channel only."""

    def __init__(self, path: Path, anonymous: bool, say: Say) -> None:
        self._path, self._anonymous, self._say = path, anonymous, say

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        """Return who it is, None for nobody. ``certificate`` is the client's own, None without encryption."""
        if username is None:
            return Caller() if self._anonymous else None
        if not certificate or password is None:
            self._say(f"opcua: {shown(username)[:64]} logged in without encryption, and was refused")
            return None
        try:
            users = read_users(self._path)
        except InputError as error:
            self._say(f"opcua: {error}")
            return None
        if not is_password(users, username, password):
            self._say(f"opcua: the password of {shown(username)[:64]} was refused")
            return None
        return Caller(name=username, station_role=users[username].role)


class Rules(PermissionRuleset):
    """Who was let in may browse, read, subscribe and call; nobody may write, or change the address space."""

    def check_validity(self, user: User, action_type: ua.NodeId, body: Any) -> bool:
        """Whether a request of that type is allowed."""
        return isinstance(user, Caller) and action_type in _READING


class Paces:
    """How fast all clients together are served: a list of results takes 5 ms of a core, which the judge shares.

    A client that connects reads and browses some thousand nodes at once, and few after that.
    """

    def __init__(self) -> None:
        self.calls = Queue(Bucket(rate=10.0, burst=20))
        self.looks = Queue(Bucket(rate=200.0, burst=5000, batch=10))


class _Session(InternalSession):
    """A session that tells the methods who calls. Clients read, browse and call as fast as ``paces`` lets them all."""

    paces: Paces

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        await self._turn(self.paces.looks)
        found: list[ua.DataValue] = await super().read(params)
        return found

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        await self._turn(self.paces.looks)
        found: list[ua.BrowseResult] = await super().browse(params)
        return found

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        for _ in params:
            await self._turn(self.paces.calls)
        CALLER.set(self.user if isinstance(self.user, Caller) else None)
        found: list[ua.CallMethodResult] = await super().call(params)
        return found

    async def _turn(self, queue: Queue) -> None:
        if self.external:  # the server itself reads and browses as it builds its nodes
            await queue.turn()


class StationServer(InternalServer):
    """An internal server whose limits are those of a small machine."""

    def __init__(self, users: StationUsers, connections: int, paces: Paces | None = None) -> None:
        super().__init__(users)
        self._paces = paces or Paces()
        self.allow_remote_admin = False
        self.max_connections = connections
        self.max_subscriptions = 10 * connections
        self.max_monitored_item_queue_size = 1000
        self.max_unacked_messages_per_subscription = 1000

    def create_session(
        self,
        name: str,
        user: User = _NOBODY,
        external: bool = False,
    ) -> InternalSession:
        """Make the session of a new client."""
        session = _Session(self, self.aspace, self.subscription_service, name, user=user, external=external)
        session.paces = self._paces
        return session
