"""True-colour Sentinel-2 scenes from S3: listed, filtered, downloaded, verified, recorded."""
