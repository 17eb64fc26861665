"""`fleetflow docs`: the warehouse's own pages, every table and column with its lineage, built by dbt and served."""

from __future__ import annotations

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.settings import Settings

PAGE = "index.html"
HOST = "127.0.0.1"

docs_app = typer.Typer(help="What each table and column of the warehouse means.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(docs_app, name="docs")


@docs_app.command()
def build(
    out: Annotated[
        Path | None, typer.Option(help="Where to write the page; default <home>/docs.", file_okay=False)
    ] = None,
) -> None:
    """Build the page, one file that needs no server and no network, from the project and the warehouse."""
    from fleetflow.settings import load_settings

    settings = load_settings()
    typer.echo(build_page(settings, out or settings.home / "docs"))


@docs_app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 0,
    rebuild: Annotated[bool, typer.Option("--build/--no-build", help="Build the page before.")] = True,
) -> None:
    """Serve the page on this machine until interrupted."""
    from fleetflow.faults import UserError
    from fleetflow.settings import load_settings

    settings = load_settings()
    place = settings.home / "docs"
    if rebuild:
        build_page(settings, place)
    elif not (place / PAGE).exists():
        raise UserError(f"there is no {place / PAGE} yet: leave --no-build out")
    try:
        server = page_server(place, port)
    except OSError as fault:
        raise UserError(f"port {port} cannot be used: {fault.strerror}; --port 0 takes a free one") from fault
    with server:
        typer.echo(f"http://{HOST}:{server.server_port}/ (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended")


def build_page(settings: Settings, place: Path) -> Path:
    """Write the page into a folder, in one step; return its path.

    Raises:
        UserError: dbt could not read the project or the warehouse.
    """
    from tempfile import TemporaryDirectory

    from fleetflow.dbt_project import invoke
    from fleetflow.faults import UserError
    from fleetflow.transform import TransformError

    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place) as scratch:
        try:
            invoke(settings, ["docs", "generate", "--static"], target=Path(scratch))
        except TransformError as fault:
            raise UserError(f"the docs cannot be built: {fault}") from fault
        return (Path(scratch) / "static_index.html").replace(place / PAGE)


def page_server(place: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a folder on the loopback; it is not running yet.

    Raises:
        OSError: the port cannot be used.
    """
    return ThreadingHTTPServer((HOST, port), functools.partial(_Quiet, directory=str(place)))


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line on the terminal for each."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
