"""The server as asyncua has it: endpoints, security, users, and the station's nodes."""

from __future__ import annotations

from functools import partial

from asyncua import Server, ua

from ...station.config_protocols import OpcuaConfig
from ..audit import audit
from ..link import StationLink
from ..service import Surroundings
from .access import Rules, StationServer, StationUsers
from .identity import application_uri, identity
from .methods import Methods
from .results import Results
from .tree import Tree

__all__ = ["make_server", "open_tree"]

CONNECTIONS = 20


async def make_server(config: OpcuaConfig, around: Surroundings) -> Server:
    """Return a server that does not listen yet. Raises InputError and OutputError for what its certificate lacks."""
    station = around.config.station.name
    certificate, key = identity(config, around.state, station)
    users = StationUsers(config.users, config.anonymous, around.say)
    server = Server(StationServer(users, CONNECTIONS))
    await server.init()
    server.set_endpoint(f"opc.tcp://{config.host}:{config.port}")
    server.set_server_name(f"regad station {station}")
    await server.set_application_uri(application_uri(station))
    await server.load_certificate(certificate, "der")
    await server.load_private_key(key, format="pem")
    policies = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]
    if config.unencrypted:
        policies.append(ua.SecurityPolicyType.NoSecurity)
    server.set_security_policy(policies, permission_ruleset=Rules(users))
    tokens: list[type] = [ua.UserNameIdentityToken]
    if config.anonymous:
        tokens.append(ua.AnonymousIdentityToken)
    server.set_identity_tokens(tokens)
    return server


async def open_tree(
    server: Server, nodeset: str, around: Surroundings, triggers: StationLink, results: Results
) -> Tree:
    """Make the station's nodes, with their methods."""
    tree = Tree(server, around.config)
    methods = Methods(around.config, around.link, triggers, results, around.say, partial(audit, around))
    await tree.build(nodeset, methods.table)
    return tree
