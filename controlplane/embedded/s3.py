"""Just enough of S3 (AWS Signature Version 4) for the readiness probe, so that the supervisor need not load an SDK."""

import datetime
import hashlib
import hmac
import http.client
from dataclasses import dataclass

REGION = "us-east-1"
SIGNED = "host;x-amz-content-sha256;x-amz-date"


@dataclass(frozen=True)
class Client:
    """`host` is host:port without TLS; `timeout` in seconds."""

    host: str
    access_key: str
    secret_key: str
    timeout: float

    def send(self, method: str, path: str, body: bytes = b"") -> int:
        """HTTP status of the signed request. Paths must need no escaping. Raises OSError or HTTPException when there is no answer."""
        connection = http.client.HTTPConnection(self.host, timeout=self.timeout)
        try:
            connection.request(method, path, body, self.headers(method, path, body))
            return connection.getresponse().status
        finally:
            connection.close()

    def headers(self, method: str, path: str, body: bytes, *, now: datetime.datetime | None = None) -> dict[str, str]:
        """Headers that sign the request at `now` (aware, default the present)."""
        stamp = (now or datetime.datetime.now(datetime.UTC)).strftime("%Y%m%dT%H%M%SZ")
        day, digest = stamp[:8], hashlib.sha256(body).hexdigest()
        canonical = f"{method}\n{path}\n\nhost:{self.host}\nx-amz-content-sha256:{digest}\nx-amz-date:{stamp}\n\n{SIGNED}\n{digest}"
        scope = f"{day}/{REGION}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        credential = f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={SIGNED}, Signature={signature}"
        return {"Host": self.host, "x-amz-date": stamp, "x-amz-content-sha256": digest, "Authorization": credential}
