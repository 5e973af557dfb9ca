"""The two bundled Sentinel-2 scenes, so that everything can be tried without data of one's own."""

from pathlib import Path

from data_io.sources import ImageSource, SourceImage
from data_io.sources.folder import images_under

SAMPLE = "sample"
SAMPLE_FOLDER = Path(__file__).parents[1] / "scenes"
SAMPLE_CREDIT = "Contains modified Copernicus Sentinel data (2015-2016, 2017)"


class Source(ImageSource):
    """The source named "sample"; a folder of that name is "./sample"."""

    credit = SAMPLE_CREDIT

    @classmethod
    def claims(cls, source: str) -> bool:
        return source == SAMPLE

    def list_images(self) -> list[SourceImage]:
        return images_under(SAMPLE_FOLDER)
