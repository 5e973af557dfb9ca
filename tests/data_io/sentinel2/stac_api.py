"""A small STAC API on 127.0.0.1 that serves collections and items from the files of a folder."""

import json
import threading
from collections.abc import Callable
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CORE = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
)
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"
FIELDS = "https://api.stacspec.org/v1.0.0/item-search#fields"


class StacApi:
    """Serves `folder`, in which each collection is a folder of items.

    conforms, methods: what it says that it can do. page: most items in an answer. log: method and
    parameters of searches. fault: may give the status of an answer, or bytes to send as they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conforms = [*CORE, QUERY, FIELDS]
        self.methods = ("GET", "POST")
        self.page = 100
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.requests = 0
        self.fault: Callable[[int], int | bytes | None] = lambda count: None
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api.serve(self, None)

            def do_POST(self) -> None:
                api.serve(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add(self, collection: str, item: dict[str, Any]) -> None:
        path = self.folder / collection / f"{item['id']}.json"
        path.parent.mkdir(exist_ok=True)
        own = {"rel": "self", "href": f"{self.url}/collections/{collection}/items/{item['id']}"}
        path.write_text(json.dumps(item | {"collection": collection, "links": [own]}))

    def serve(self, handler: BaseHTTPRequestHandler, body: dict[str, Any] | None) -> None:
        self.requests += 1
        fault = self.fault(self.requests - 1)
        answer: Any = None
        if fault is None:
            parts = urlsplit(handler.path)
            given = body if body is not None else {k: v[0] for k, v in parse_qs(parts.query).items()}
            answer = self.answer(parts.path, handler.command, given)
        content = fault if isinstance(fault, bytes) else json.dumps(answer).encode()
        status = fault if isinstance(fault, int) else 404 if answer is None and fault is None else 200
        handler.send_response_only(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def answer(self, path: str, method: str, given: dict[str, Any]) -> dict[str, Any] | None:
        if path in {"", "/"}:
            links = [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url}]
            links += [{"rel": "data", "href": f"{self.url}/collections"}]
            links += [
                {"rel": "search", "href": f"{self.url}/search", "type": "application/geo+json", "method": m}
                for m in self.methods
            ]
            return {
                "type": "Catalog", "id": "local", "description": "local", "stac_version": "1.0.0",
                "conformsTo": self.conforms, "links": links,
            }  # fmt: skip
        if path == "/search" and method in self.methods:
            self.log.append((method, given))
            return self.search(method, given)
        name = path.removeprefix("/collections/")
        if not (self.folder / name).is_dir():
            return None
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        return {
            "type": "Collection", "id": name, "description": name, "stac_version": "1.0.0", "license": "a",
            "extent": extent, "links": [],
        }  # fmt: skip

    def search(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        wanted = given if method == "POST" else _decoded(given)
        found = [
            item
            for name in wanted["collections"]
            for path in sorted((self.folder / name).glob("*.json"))
            for item in [json.loads(path.read_text())]
            if _matches(item, wanted)
        ]
        start, size = int(wanted.get("next", 0)), min(self.page, int(wanted.get("limit", 10)))
        links = []
        if start + size < len(found):
            more = given | {"next": str(start + size)}
            link = {"rel": "next", "href": f"{self.url}/search", "method": method}
            links = [
                link | {"body": more}
                if method == "POST"
                else link | {"href": f"{self.url}/search?{urlencode(more)}"}
            ]
        fields = wanted.get("fields", {}).get("include")
        page = [_only(item, fields) if fields else item for item in found[start : start + size]]
        return {"type": "FeatureCollection", "features": page, "links": links}


def _decoded(given: dict[str, str]) -> dict[str, Any]:
    wanted: dict[str, Any] = dict(given)
    wanted["collections"] = given["collections"].split(",")
    if "bbox" in given:
        wanted["bbox"] = [float(x) for x in given["bbox"].split(",")]
    if "query" in given:
        wanted["query"] = json.loads(given["query"])
    if "fields" in given:
        wanted["fields"] = {"include": [name.lstrip("+") for name in given["fields"].split(",")]}
    return wanted


def _matches(item: dict[str, Any], wanted: dict[str, Any]) -> bool:
    first, last = (datetime.fromisoformat(text) for text in wanted["datetime"].split("/"))
    if not first <= datetime.fromisoformat(item["properties"]["datetime"]) <= last:
        return False
    west, south, east, north = item["bbox"]
    if "bbox" in wanted:
        w, s, e, n = wanted["bbox"]
        if south > n or north < s or west > e or east < w:
            return False
    for name, asked in wanted.get("query", {}).items():
        value = item["properties"].get(name)
        if "eq" in asked and value != asked["eq"]:
            return False
        if "in" in asked and value not in asked["in"]:
            return False
    return True


def _only(item: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields:
        outer, _, inner = field.partition(".")
        if not inner and outer in item:
            found[outer] = item[outer]
        elif inner in item.get(outer, {}):
            found.setdefault(outer, {})[inner] = item[outer][inner]
    return found


def item(
    href: str,
    *,
    day: date = date(2022, 5, 1),
    collection: str = "sentinel-2-l2a",
    square: str = "32ULA",
    satellite: str = "S2A",
    baseline: str = "04.00",
    made: str = "163100",
    start: str = "103621",
    number: str = "0",
    without: tuple[str, ...] = (),
    **properties: Any,
) -> dict[str, Any]:
    """An item as Earth Search words it; both collections give one overpass different sensing times."""
    number_of = baseline.replace(".", "")
    product = f"{satellite}_MSIL2A_{day:%Y%m%d}T{start}_N{number_of}_R008_T{square}_{day:%Y%m%d}T{made}"
    new = collection == "sentinel-2-c1-l2a"
    zone = int(square[:2])
    usual = {
        "datetime": f"{day}T10:46:{'19.283' if new else '23.024'}Z",
        "updated": f"{day}T20:00:00Z",
        "platform": f"sentinel-{satellite[1:].lower()}",
        "grid:code": f"MGRS-{zone}{square[2:]}",
        "mgrs:utm_zone": zone,
        "mgrs:latitude_band": square[2],
        "eo:cloud_cover": 1.5,
        "s2:nodata_pixel_percentage": 0.25,
        "s2:processing_baseline": baseline,
        "s2:product_uri": f"{product}.SAFE",
        "s2:many_more": "x" * 2000,
    }
    identity = (
        f"{satellite}_T{square}_{day:%Y%m%d}T104619_L2A"
        if new
        else f"{satellite}_{zone}{square[2:]}_{day:%Y%m%d}_{number}_L2A"
    )
    west, south = {"32ULA": (6.2, 49.6), "32ULB": (6.2, 50.5), "05QKB": (-155.8, 19.0)}[square]
    kind = "image/tiff; application=geotiff; profile=cloud-optimized"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": identity,
        "geometry": None,
        "bbox": [west, south, west + 1.5, south + 1],
        "properties": {k: v for k, v in (usual | properties).items() if k not in without},
        "assets": {
            "visual": {"href": href, "type": kind, "roles": ["visual"]},
            "red": {"href": href.replace("TCI", "B04"), "type": kind},
        },
    }
