"""Scenes found through a STAC API, whose items say where their images are and how good they are."""

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from data_io.errors import DataError
from data_io.sentinel2.catalogue import Judgement, Part, Scene, sensing_second
from data_io.sentinel2.failures import DeniedError, NotFoundError, StoreError, TransientError
from data_io.sentinel2.item import DATATAKE, Item
from data_io.sentinel2.s3 import StoredObject
from data_io.sentinel2.squares import Square
from data_io.sentinel2.traffic import Traffic

if TYPE_CHECKING:
    from pystac_client import Client

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
COLLECTIONS = ("sentinel-2-c1-l2a", "sentinel-2-l2a")
"""Each of them lacks scenes that the other one has."""

PAGE = 100
"""Items in a page: with all their assets 100 items have about 4 MB."""

FIELDS = (
    "id", "collection", "links", "properties.datetime", "properties.start_datetime", "properties.updated",
    "properties.platform", "properties.eo:cloud_cover", "properties.s2:nodata_pixel_percentage",
    "properties.s2:processing_baseline", "properties.s2:product_uri", "properties.sentinel:product_id",
    "properties.grid:code", "properties.s2:mgrs_tile", "assets.visual", "assets.TCI", "assets.TCI_10m",
)  # fmt: skip
"""What is needed of an item, a tenth of it."""

_WARNINGS = threading.Lock()
"""Threads that change which warnings are shown must not do so at once."""


@dataclass(frozen=True)
class StacAccess:
    """How to reach a STAC API. attempts: how often a request that fails is made. Timeouts are in seconds."""

    url: str = EARTH_SEARCH
    collections: tuple[str, ...] = COLLECTIONS
    attempts: int = 6
    connect_timeout: float = 10
    read_timeout: float = 30


class Stac:
    """Cloud-optimised GeoTIFFs of a STAC API; of one product, the item of the first collection counts."""

    name = "cogs"
    suffix = ".tif"
    unsigned = True

    def __init__(self, access: StacAccess, resolution: int, traffic: Traffic) -> None:
        self.resolution, self.traffic = resolution, traffic
        self._access = access
        self._items: dict[str, Item] = {}

    def coverage(self, judgement: Judgement) -> int:
        """How full a scene is: an overpass that was cut in two has a product of each part."""
        return -int(judgement.nodata_percent // 10)

    def parts(self, squares: list[Square], first: date, last: date) -> list[Part]:
        """A search for each square or zone. Raises StoreError, and DataError where there is no STAC API."""
        client = self._open()
        return [
            Part(f"{self._access.url} for {square.name}", partial(self._find, client, square, first, last))
            for square in squares
            if not square.letters or Square(square.zone, square.band) not in squares
        ]

    def judge(self, scene: Scene) -> Judgement:
        return self._items[scene.name].judgement()

    def acquisition(self, judgement: Judgement) -> str:
        """The start of the datatake: the sensing times of one overpass differ between collections."""
        found = DATATAKE.match(judgement.product)
        if not found:
            return sensing_second(judgement.sensing_time)
        return f"{sensing_second(found[2] + 'Z')} {found[1]}"

    def address(self, key: str) -> str:
        return key

    def _find(self, client: "Client", square: Square, first: date, last: date) -> list[Scene]:
        """The scenes of a square. Raises StoreError."""
        found: dict[str, Scene] = {}
        products: set[str] = set()
        for item in self._search(client, square, first, last):
            if item.square is None or item.square[: len(square.name)] != square.name:
                continue
            scene = _scene(item, first)
            if scene.name in found or (item.product and item.product in products):
                continue
            products.add(item.product)
            found[scene.name], self._items[scene.name] = scene, item
        return list(found.values())

    def _search(self, client: "Client", square: Square, first: date, last: date) -> list[Item]:
        """The items of a square and perhaps of its neighbours, those of the first collection first.

        Servers that can be asked for the square's name are; where that gives nothing, or is not possible, the
        search is for what touches the square.
        """
        from pystac_client import ConformanceClasses

        common: dict[str, Any] = {
            "collections": list(self._access.collections),
            "datetime": f"{first}T00:00:00Z/{last}T23:59:59Z",
            "limit": PAGE,
            "method": _method(client),
        }
        if client.conforms_to(ConformanceClasses.FIELDS):
            common["fields"] = {"include": list(FIELDS), "exclude": []}
        items: list[Item] = []
        if client.conforms_to(ConformanceClasses.QUERY):
            with suppress(NotFoundError):  # it may not know the property, or an operator
                items = self._all(client, common | {"query": _query(square)})
        if not items:
            items = self._all(client, common | {"bbox": bounds(square)})
        order = {name: i for i, name in enumerate(self._access.collections)}
        return sorted(items, key=lambda item: (order.get(item.collection, len(order)), item.id))

    def _all(self, client: "Client", wanted: dict[str, Any]) -> list[Item]:
        """All pages of a search; one that breaks off is made again. Raises StoreError."""
        for attempt in range(2):
            try:
                return list(self._pages(client, wanted))
            except TransientError:
                if attempt:
                    raise
        raise AssertionError

    def _pages(self, client: "Client", wanted: dict[str, Any]) -> Iterator[Item]:
        pages = client.search(**wanted).pages_as_dicts()
        while True:
            self.traffic.sent("LIST")
            try:
                page = next(pages, None)
            except Exception as error:  # pystac-client lets through what the server's JSON raises in it
                raise _error_of(self._access.url, error) from error
            if page is None:
                return
            for document in page.get("features", ()):
                yield Item.of(document)

    def _open(self) -> "Client":
        from pystac_client import Client, ConformanceClasses
        from pystac_client.stac_api_io import StacApiIO
        from urllib3.util import Retry

        access = self._access
        retry = Retry(
            access.attempts - 1,
            status_forcelist={429, 500, 502, 503, 504},
            allowed_methods=None,  # a search by POST changes nothing
            backoff_factor=0.1,
            backoff_jitter=0.1,
            raise_on_status=False,
        )
        timeout: Any = (access.connect_timeout, access.read_timeout)
        self.traffic.sent("GET")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                client = Client.open(access.url, stac_io=StacApiIO(timeout=timeout, max_retries=retry))
                missing = self._missing(client)
                searches = client.conforms_to(ConformanceClasses.ITEM_SEARCH) and client.get_search_link()
        except Exception as error:
            raise _error_of(access.url, error) from error
        if not searches:
            raise DataError(
                f"{access.url} offers no search of items: give --stac the address of a STAC API, such as "
                f"{EARTH_SEARCH}"
            )
        if missing:
            raise DataError(f"{access.url} has no collection {missing}: check --collection")
        return client

    def _missing(self, client: "Client") -> str | None:
        """The first wanted collection that the server does not know."""
        from pystac_client import ConformanceClasses

        if client.conforms_to(ConformanceClasses.COLLECTIONS):
            for name in self._access.collections:
                self.traffic.sent("GET")
                if client.get_collection(name) is None:
                    return name
        return None


def bounds(square: Square) -> list[float]:
    """West, south, east and north of a square, or of a zone and band, in degrees.

    West is larger than east where it crosses the 180th meridian. Raises StoreError for a square that does not
    exist.
    """
    if not square.letters:
        south = -80.0 + 8 * "CDEFGHJKLMNPQRSTUVWX".index(square.band)
        west = -180.0 + 6 * (square.zone - 1)
        # Zones differ in width around Norway; what lies outside is sorted out by name.
        return [max(west - 3, -180), south, min(west + 9, 180), 84.0 if square.band == "X" else south + 8]
    from mgrs import MGRS

    corners = ("0000000000", "0000099999", "9999900000", "9999999999")
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a corner may lie in the next band
        try:
            points = [MGRS().toLatLon(square.name + corner) for corner in corners]
        except Exception as error:
            raise StoreError(f"there is no square {square.name}: check --squares") from error
    latitudes, longitudes = [p[0] for p in points], [p[1] for p in points]
    west, east = min(longitudes), max(longitudes)
    if east - west > 180:
        west, east = min(x for x in longitudes if x > 0), max(x for x in longitudes if x < 0)
    return [west, min(latitudes), east, max(latitudes)]


def _query(square: Square) -> dict[str, Any]:
    if not square.letters:
        return {"mgrs:utm_zone": {"eq": square.zone}, "mgrs:latitude_band": {"eq": square.band}}
    codes = {f"MGRS-{square.name}", f"MGRS-{square.zone}{square.band}{square.letters}"}
    return {"grid:code": {"in": sorted(codes)} if len(codes) > 1 else {"eq": codes.pop()}}


def _method(client: "Client") -> str:
    methods = {link.extra_fields.get("method", "GET") for link in client.get_links("search")}
    return "POST" if "POST" in methods else "GET"


def _scene(item: Item, first: date) -> Scene:
    assert item.square
    found = re.fullmatch(r"(\d\d)([A-Z])([A-Z]{2})", item.square)
    assert found
    day = item.day or first
    identity = item.product or item.updated or item.id
    return Scene(
        # The satellite is part of the name: two of them may pass over a square on one day.
        name=f"{item.square}_{day:%Y%m%d}_{item.satellite}-{item.number}",
        square=Square(int(found[1]), found[2], found[3]),
        day=day,
        sequence=0,
        image_key=item.image or f"{item.address} (a GeoTIFF of the true colours)",
        image=StoredObject(item.image, 0, identity) if item.image else None,
        metadata_key=item.address,
        metadata=StoredObject(item.address, 0, item.updated or identity),
    )


def _error_of(url: str, error: Exception) -> StoreError:
    """The StoreError for what pystac-client raised; the server's own text is not repeated."""
    from pystac_client.exceptions import APIError

    status = getattr(error, "status_code", None)
    if status in {401, 403}:
        return DeniedError(f"{url}: the server answered {status}: give a --stac that anybody may read")
    if status in {400, 404, 405, 422}:
        return NotFoundError(f"{url}: the server answered {status}: check --stac and --collection")
    if status is not None:
        return TransientError(f"{url}: the server answered {status} at every attempt; run the command again")
    if isinstance(error, APIError):
        return TransientError(f"{url}: no answer; check the network and --stac, and run again")
    return NotFoundError(f"{url}: it is not a STAC API ({type(error).__name__}): check --stac")
