import asyncio

import pytest

from metacompress_server.settings import ServerSettings
from metacompress_server.tenants import DEFAULT_TENANT, Tenant, current_tenant, enter_tenant


def test_the_salt_belongs_to_the_name_alone() -> None:
    assert Tenant("a").cache_salt == Tenant("a", max_requests=3).cache_salt
    assert Tenant("a").cache_salt != Tenant("b").cache_salt
    assert len(Tenant("a").cache_salt) == 64


def test_outside_of_a_request_there_is_the_default_tenant() -> None:
    assert current_tenant().name == DEFAULT_TENANT
    assert current_tenant().max_sessions == ServerSettings.read().max_sessions_per_tenant


@pytest.mark.anyio
async def test_requests_that_run_together_do_not_see_each_others_tenant() -> None:
    async def request(name: str) -> str:
        enter_tenant(Tenant(name))
        await asyncio.sleep(0)
        return await asyncio.create_task(_name())

    async def _name() -> str:
        return current_tenant().name

    assert await asyncio.gather(request("a"), request("b")) == ["a", "b"]
    assert current_tenant().name == DEFAULT_TENANT


def test_a_tenants_own_limits_replace_the_servers() -> None:
    settings = ServerSettings.read({"max_requests_per_tenant": 5})
    assert Tenant.of("a", settings).max_requests == 5
    assert Tenant.of("a", settings, max_requests=2).max_requests == 2
