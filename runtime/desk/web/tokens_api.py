"""What the page System asks about the tokens of machines: an engineer makes and revokes them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ...station.tokens import LONGEST, add_token, remove_token
from ...station.users import Role
from ..audit import audit
from .machines import Machines
from .routes import Call, Route

__all__ = ["token_routes"]


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=64)]
    role: Role = "viewer"
    days: Annotated[int, msgspec.Meta(ge=1, le=LONGEST)] | None = None


def token_routes(machines: Machines) -> list[Route]:
    """Return the routes. None of them is for a machine: a token makes no other token."""

    def listed(call: Call) -> list[dict[str, Any]]:
        now = machines.wall()  # the station's clock decides, not the browser's
        return [
            {
                **{"name": name, "role": token.role, "made_by": token.made_by, "made_at": token.made_at},
                **{"days": max(0, int((now - token.made_at) // 86_400))},
                **{"ends_at": token.ends_at, "over": token.is_over(now)},
            }
            for name, token in sorted(machines.tokens().items())
        ]

    def make(call: Call) -> dict[str, Any]:
        wanted = call.json(_Wanted)
        text = add_token(machines.path, wanted.name, wanted.role, call.user, wanted.days)
        ends = "" if wanted.days is None else f", for {wanted.days} days"
        audit(call.around, call.user, "token made", after=f"{wanted.name}: {wanted.role}{ends}")
        return {"name": wanted.name, "role": wanted.role, "token": text}

    def revoke(call: Call) -> dict[str, Any]:
        name = call.path["token"]
        remove_token(machines.path, name)
        audit(call.around, call.user, "token revoked", before=name)
        return {}

    path = "/api/v1/tokens"
    return [
        Route(path, listed, "engineer", person=True),
        Route(path, make, "engineer", "POST", person=True),
        Route(path + "/{token}", revoke, "engineer", "DELETE", person=True),
    ]
