"""A deployed endpoint, for the page: its calls are passed on to RunPod with the caller's key, which is kept nowhere."""

import asyncio
import logging
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response

from local.endpoint import messages
from local.endpoint.client_routes import ServiceOf
from local.endpoint.origin import LOCAL_NAMES
from local.endpoint.service import Service

CALLS = {"run": "POST", "cancel": "POST", "status": "GET", "health": "GET"}
ANSWER_TIME = 60.0
"""Seconds: a result of 10 MB comes in one answer."""

log = logging.getLogger(__name__)

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


async def refuse_other_sites(request: Request) -> None:
    """Only this server's own page, opened on this machine, may call: no other site, nor a name made to point here."""
    host = request.headers.get("host", "")
    own = urlsplit(f"//{host}").hostname in LOCAL_NAMES
    origin = request.headers.get("origin", f"http://{host}")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if not (own and origin == f"http://{host}" and site == "same-origin"):
        raise HTTPException(403, "only this server's own page, opened as localhost, may use a deployed endpoint")


router = APIRouter(prefix="/remote/{endpoint_id}", include_in_schema=False, dependencies=[Depends(refuse_other_sites)])


@router.api_route("/{call}", methods=["GET", "POST"])
async def pass_on(call: Name, endpoint_id: Name, request: Request, service: ServiceOf) -> Response:
    """`run` or `health` of the deployed endpoint."""
    return await _pass_on(request, service, f"{endpoint_id}/{call}", call)


@router.api_route("/{call}/{job_id}", methods=["GET", "POST"])
async def pass_on_for_job(
    call: Name, job_id: Name, endpoint_id: Name, request: Request, service: ServiceOf
) -> Response:
    """`status` or `cancel` of a job there."""
    return await _pass_on(request, service, f"{endpoint_id}/{call}/{job_id}", call)


async def _pass_on(request: Request, service: Service, path: str, call: str) -> Response:
    if CALLS.get(call) != request.method:
        raise HTTPException(404)
    body = await messages.read_limited(request, service.options.run_limit)
    if body is None:
        raise HTTPException(413, f"the request is larger than the {service.options.run_limit} bytes that /run takes")
    headers = {"Authorization": request.headers.get("authorization", ""), "Content-Type": "application/json"}
    url, limit = f"{service.options.remote_url}/{path}", aiohttp.ClientTimeout(total=ANSWER_TIME)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.request(request.method, url, data=body or None, headers=headers, allow_redirects=False) as answer,
        ):
            return Response(await answer.read(), answer.status, media_type="application/json")
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
        host = urlsplit(url).hostname
        log.warning("%s does not answer: %s", host, type(error).__name__)
        raise HTTPException(502, f"{host} does not answer: {type(error).__name__}") from None
