"""``GET /metrics``: Prometheus' text, for who is on this machine, logged in, or bears the secret."""

from __future__ import annotations

from starlette.responses import Response

from ..service import Surroundings
from ..sinks.metrics import Metrics
from .errors import RequestError
from .routes import Call, Route

__all__ = ["metrics_routes"]

_MEDIA = "text/plain; version=0.0.4; charset=utf-8"


def metrics_routes(around: Surroundings) -> list[Route]:
    """Return the route. Raises InputError for a secret that cannot be read."""
    config, desk = around.config.metrics, around.config.desk
    metrics = Metrics(around, None if config is None else config.secret)
    open_to_all = desk is not None and desk.loopback and not desk.behind_proxy

    def scrape(call: Call) -> Response:
        known = open_to_all or call.session is not None
        if not (known or metrics.lets_in(call.headers.get("authorization", ""))):
            raise RequestError(401, "log in, or send the secret of [metrics]", code="login")
        return Response(metrics.text(), media_type=_MEDIA, headers={"cache-control": "no-store"})

    return [Route("/metrics", scrape, None)]
