"""How to reach buckets: options, credentials, retries."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from data_io.errors import DataError

if TYPE_CHECKING:
    from obstore.store import S3Store


@dataclass(frozen=True)
class Access:
    """How to reach a bucket.

    attempts: how often a request that fails is made. Timeouts are in seconds.
    """

    region: str
    endpoint_url: str | None = None
    profile: str | None = None
    unsigned: bool = False
    requester_pays: bool = False
    attempts: int = 6
    connect_timeout: float = 10
    read_timeout: float = 30


def open_bucket(bucket: str, access: Access) -> tuple["S3Store", bool]:
    """A client for a bucket, and whether it sends no credentials. Raises DataError for unusable settings."""
    from obstore.store import S3Store

    session, unsigned = session_of(access)
    more: dict[str, Any] = {"skip_signature": True}
    if not unsigned:
        from obstore.auth.boto3 import Boto3CredentialProvider

        provider = Boto3CredentialProvider(session)
        provider.config = {}  # the bucket's region counts, and not the session's
        more = {"credential_provider": provider}
    endpoint = access.endpoint_url or session.get_scoped_config().get("endpoint_url")
    if endpoint:
        more |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if access.requester_pays:
        more["request_payer"] = True
    return S3Store(bucket, region=access.region, **more, **client_settings(access)), unsigned


def client_settings(access: Access) -> dict[str, Any]:
    """Timeouts and retries of a client of obstore."""
    seconds = timedelta(seconds=1)
    return {
        "client_options": {
            "allow_http": True,
            "connect_timeout": access.connect_timeout * seconds,
            "read_timeout": access.read_timeout * seconds,
            "timeout": 3600 * seconds,  # of a whole answer, however large and slow
        },
        "retry_config": {
            "max_retries": access.attempts - 1,
            "backoff": {"init_backoff": 0.1 * seconds, "max_backoff": 10 * seconds, "base": 2},
        },
    }


def session_of(access: Access) -> tuple[Any, bool]:
    """A session of botocore, and whether requests are unsigned. Raises DataError for unusable settings."""
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped, unused-ignore]
    from botocore.session import Session  # type: ignore[import-untyped, unused-ignore]

    if access.endpoint_url:
        try:
            parts = urlsplit(access.endpoint_url)
            whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise DataError("--endpoint-url is not an http:// or https:// address: give one, or leave it out")
        if parts.username or parts.password:
            raise DataError("--endpoint-url contains a user or password: leave them out and use --profile")
    try:
        session = Session(profile=access.profile)
        session.get_scoped_config()  # refuses a profile that does not exist
        unsigned = access.unsigned or session.get_credentials() is None
    except (BotoCoreError, ValueError) as error:
        raise _unusable(access, error) from error
    if unsigned and access.requester_pays:
        raise DataError(
            "--requester-pays needs AWS credentials, as somebody has to be billed: set AWS_PROFILE or "
            "give --profile NAME, and leave --unsigned out"
        )
    return session, unsigned


def _unusable(access: Access, error: Exception) -> DataError:
    what = f"profile {access.profile!r}" if access.profile else "AWS settings"
    return DataError(
        f"the {what} cannot be used ({type(error).__name__}): check ~/.aws/config and --profile, or give "
        "--unsigned"
    )
