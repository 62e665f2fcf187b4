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
from ...station.private_file import Fresh
from ...station.users import Role, is_password, read_users
from ...text import Say, shown
from ..attempts import Attempts

__all__ = ["CALLER", "CLIENT", "Caller", "Paces", "Rules", "StationServer", "StationUsers"]

_NOBODY = User(role=UserRole.Anonymous)
_READING = {ua.NodeId(one) for one in USER_TYPES if one != ua.ObjectIds.WriteRequest_Encoding_DefaultBinary}

_LEAVING = {
    ua.NodeId(one)
    for one in (
        ua.ObjectIds.CloseSessionRequest_Encoding_DefaultBinary,
        ua.ObjectIds.CloseSecureChannelRequest_Encoding_DefaultBinary,
        ua.ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary,  # to log in anew
    )
}


@dataclass
class Caller(User):
    """A client that was let in; ``station_role`` is what it may do at the station, ``mark`` its password's salt."""

    role: UserRole = UserRole.User
    name: str | None = None
    station_role: Role = "viewer"
    mark: str = ""


CALLER: ContextVar[Caller | None] = ContextVar("CALLER", default=None)
"""Who calls the method that runs."""
CLIENT: ContextVar[str] = ContextVar("CLIENT", default="?")
"""From which address somebody logs in."""


class StationUsers(UserManager):
    """The users in the file ``path``. A password is taken over an encrypted channel only; guesses are slowed down."""

    def __init__(self, path: Path, anonymous: bool, say: Say) -> None:
        self._users, self._anonymous, self._say = Fresh(path, read_users), anonymous, say
        self._by_client, self._by_user = Attempts(60.0), Attempts(5.0)

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
        name, client = shown(username)[:64], CLIENT.get()
        if not certificate or password is None:
            self._say(f"opcua: {name} logged in without encryption, and was refused")
            return None
        wait = max(self._by_client.wait(client), self._by_user.wait(username))
        if wait > 0:
            self._say(f"opcua: {name} has to wait for {wait:.0f} s after wrong passwords")
            return None
        try:
            users = self._users.now()
        except InputError as error:
            self._say(f"opcua: {error}")
            return None
        if not is_password(users, username, password):
            self._by_client.failed(client)
            self._by_user.failed(username)
            self._say(f"opcua: the password of {name} was refused")
            return None
        self._by_client.passed(client)
        self._by_user.passed(username)
        return Caller(name=username, station_role=users[username].role, mark=users[username].salt)

    def still(self, user: User) -> bool:
        """Whether who was let in would be let in still: the user is there, and has the same password."""
        if not isinstance(user, Caller):
            return False
        if user.name is None:
            return self._anonymous
        try:
            known = self._users.now().get(user.name)
        except InputError:
            return False
        return known is not None and known.salt == user.mark


class Rules(PermissionRuleset):
    """Who was let in may browse, read, subscribe and call; nobody may write, or change the address space."""

    def __init__(self, users: StationUsers) -> None:
        self._users = users

    def check_validity(self, user: User, action_type: ua.NodeId, body: Any) -> bool:
        """Whether a request of that type is allowed. Who would not be let in any more may only leave."""
        if not isinstance(user, Caller) or action_type not in _READING:
            return False
        return action_type in _LEAVING or self._users.still(user)


class Paces:
    """How fast all clients together are served: a list of results takes 5 ms of a core, which the judge shares.

    A client that connects reads and browses some thousand nodes at once, and few after that.
    """

    def __init__(self) -> None:
        self.calls = Queue(Bucket(rate=10.0, burst=20))
        self.looks = Queue(Bucket(rate=200.0, burst=5000, batch=10))


class _Session(InternalSession):
    """A session that tells the methods who calls, and the login from where.

    Clients read, browse and call as fast as ``paces`` lets them all.
    """

    paces: Paces

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        await self._turn(self.paces.looks)
        found: list[ua.DataValue] = await super().read(params)
        return found

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        await self._turn(self.paces.looks)
        found: list[ua.BrowseResult] = await super().browse(params)
        return found

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        CLIENT.set(str(self.name[0]) if isinstance(self.name, tuple) else str(self.name))
        return super().activate_session(params, peer_certificate)

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
        self._users = users
        self._open: dict[int, InternalSession] = {}
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

    def register_external_session(self, session: InternalSession) -> None:
        """Take a client's session up."""
        super().register_external_session(session)
        self._open[id(session)] = session

    def unregister_external_session(self, session: InternalSession) -> None:
        """Let a client's session go."""
        super().unregister_external_session(session)
        self._open.pop(id(session), None)

    async def end_sessions(self) -> None:
        """End the sessions, with their subscriptions, of those who would not be let in any more."""
        for session in [*self._open.values()]:
            if isinstance(session.user, Caller) and not self._users.still(session.user):
                await session.close_session()
