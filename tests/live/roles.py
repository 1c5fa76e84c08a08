"""Roles and databases."""

from __future__ import annotations

import psycopg

from specs.names import DATABASE_NAME
from tests.live.asking import URI, refused, said
from tests.live.context import Live, Untold
from tests.live.life import DATABASE, DATABASES, RESET, ROLE, ROLES
from tests.live.registry import Finding, Phase, agrees_if, observes

_REVEAL = ROLE + "/reveal_password"
_ATTRIBUTES = """
    SELECT rolinherit, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,
           pg_has_role(current_user, 'neon_superuser', 'USAGE')
    FROM pg_roles WHERE rolname = current_user
"""


@observes("role-duplicate-409", Phase.CHANGED)
async def duplicate_role(live: Live) -> Finding:
    """How is a role answered that is there already?"""
    return await refused(live, "POST", ROLES, {"role": {"name": live.role}}, 409)


@observes("role-attributes", Phase.CHANGED)
async def attributes(live: Live) -> Finding:
    """What may a role do that the API made?"""
    [row] = await live.sql(live.kept["uri"], _ATTRIBUTES)
    refusals = []
    for statement in ("SET ROLE neon_superuser", "GRANT neon_superuser TO CURRENT_USER"):
        try:
            await live.sql(live.kept["uri"], statement)
        except psycopg.Error:
            refusals.append(statement.split()[0])
    names = ("inherits", "makes roles", "makes databases", "bypasses row security", "replicates", "is a member")
    seen = ", ".join(name for name, it_does in zip(names, row, strict=True) if it_does)
    return agrees_if(all(row) and len(refusals) == 2, f"{seen}; refused: {', '.join(refusals)}")


@observes("role-no-login", Phase.CHANGED)
async def no_login(live: Live) -> Finding:
    """Has a role a password that cannot log in?"""
    made = await live.raw("POST", ROLES, {"role": {"name": "no_login", "no_login": True}})
    await live.settled()
    if made.status >= 300:
        raise Untold(f"it was not made: {said(made)}")
    live.kept["no login"] = "no_login"
    reveal = await live.raw("GET", _REVEAL, ids={"role_name": "no_login"})
    reset = await live.raw("POST", RESET, ids={"role_name": "no_login"})
    await live.settled()
    has = "password" in made.body.get("role", {})
    seen = f"{'a' if has else 'no'} password in the answer; reveal: {reveal.status}; reset: {reset.status}"
    return agrees_if(not has and (reveal.status, reset.status) == (404, 422), seen)


@observes("uri-needs-stored-password", Phase.CHANGED)
async def no_password(live: Live) -> Finding:
    """Is there a URI of a role that cannot log in?"""
    if "no login" not in live.kept:
        raise Untold("there is no such role")
    return await refused(live, "GET", f"{URI}?database_name={DATABASE_NAME}&role_name=no_login", None, 404)


@observes("role-reveal-during-reset", Phase.CHANGED)
async def reveal_during_reset(live: Live) -> Finding:
    """Which password is revealed while a reset runs?"""
    await live.change("POST", ROLES, {"role": {"name": "revealed"}})
    ids = {"role_name": "revealed"}
    old = (await live.raw("GET", _REVEAL, ids=ids)).body.get("password")
    reset = await live.raw("POST", RESET, ids=ids)
    during = (await live.raw("GET", _REVEAL, ids=ids)).body.get("password")
    running = [one for one in reset.body.get("operations", []) if one["status"] != "finished"]
    await live.settled()
    if not running:
        raise Untold("the reset was over at once")
    return agrees_if(during == old, f"the {'old' if during == old else 'new'} one")


@observes("role-ownership-in-each-database", Phase.CHANGED)
async def hands_over(live: Live) -> Finding:
    """To whom passes what a deleted role owned in several databases?"""
    for name in ("maker", "keeper"):
        await live.change("POST", ROLES, {"role": {"name": name}})
    await live.change("POST", DATABASES, {"database": {"name": "kept_by_keeper", "owner_name": "keeper"}})
    owners = {"kept_by_keeper": "keeper", DATABASE_NAME: live.role}
    for database, owner in owners.items():
        opened = "CREATE SCHEMA made; GRANT CREATE, USAGE ON SCHEMA made TO PUBLIC"
        await live.sql(await live.uri(database, owner), opened)
        await live.sql(await live.uri(database, "maker"), "CREATE TABLE made.one AS SELECT 1 AS n")
    await live.change("DELETE", ROLE, role_name="maker")
    found = {}
    for database, owner in owners.items():
        question = "SELECT tableowner = current_user, (SELECT n FROM made.one) FROM pg_tables WHERE tablename = 'one'"
        found[database] = await live.sql(await live.uri(database, owner), question)
    kept = sum(rows == [(True, 1)] for rows in found.values())
    return agrees_if(kept == 2, f"with its data to the owner in {kept} of 2 databases")


@observes("database-duplicate-409", Phase.CHANGED)
async def duplicate_database(live: Live) -> Finding:
    """How is a database answered that is there already?"""
    return await refused(live, "POST", DATABASES, {"database": {"name": DATABASE_NAME, "owner_name": live.role}}, 409)


@observes("database-owner-404", Phase.CHANGED)
async def owner_absent(live: Live) -> Finding:
    """How is an owner answered that is no role?"""
    return await refused(live, "POST", DATABASES, {"database": {"name": "ownerless", "owner_name": "nobody"}}, 404)


@observes("database-former-owner-connects", Phase.CHANGED)
async def former_owner(live: Live) -> Finding:
    """May a database's former owner connect to it?"""
    for name in ("former", "latter"):
        await live.change("POST", ROLES, {"role": {"name": name}})
    await live.change("POST", DATABASES, {"database": {"name": "passed_on", "owner_name": "former"}})
    uri = await live.uri("passed_on", "former")
    await live.change("PATCH", DATABASE, {"database": {"owner_name": "latter"}}, database_name="passed_on")
    connects = await live.connects(uri)
    return agrees_if(connects, "connects" if connects else "does not")


@observes("database-owner-reapplied", Phase.CHANGED)
async def reapplied(live: Live) -> Finding:
    """Does an owner stay that was set by SQL?"""
    uri = await live.uri("passed_on", "latter")
    await live.sql(uri, "CREATE ROLE by_sql; GRANT by_sql TO CURRENT_USER")
    [(name,)] = await live.sql(uri, "SELECT current_database()")
    await live.sql(uri, f'ALTER DATABASE "{name}" OWNER TO by_sql')
    await live.change("POST", ROLES, {"role": {"name": "another"}})
    question = "SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()"
    [(back,)] = await live.sql(uri, question)
    return agrees_if(back, "the API's owner again" if back else "SQL's owner stays")


@observes("database-dropped-by-force", Phase.CHANGED)
async def dropped(live: Live) -> Finding:
    """Is a database deleted while somebody is connected to it?"""
    uri = await live.uri("kept_by_keeper", "keeper")
    connection = await psycopg.AsyncConnection.connect(uri, autocommit=True, connect_timeout=30)
    try:
        await live.change("DELETE", DATABASE, database_name="kept_by_keeper")
        try:
            await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            ended = True
        else:
            ended = False
    finally:
        await connection.close()
    return agrees_if(ended, "the connection ended" if ended else "the connection lived on")
