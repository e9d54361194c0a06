"""nanio, an S3 server that checks signatures: `python -m tests.gpu_worker.s3_server PORT`, with its NANIO_*.

It refuses a range that ends behind the object, which S3 and R2 cut to the object's size, as HTTP wants: so
it is cut here.
"""

import sys
from typing import Any

import uvicorn
from nanio.app import build_app
from nanio.storage.filesystem import FilesystemStorage

get_object = FilesystemStorage.get_object


async def get_object_cut(
    self: FilesystemStorage, bucket: str, key: str, *, range_start: Any = None, range_end: Any = None
) -> Any:
    if range_end is not None:
        range_end = min(range_end, self.head_object(bucket, key).size - 1)
    return await get_object(self, bucket, key, range_start=range_start, range_end=range_end)


if __name__ == "__main__":
    FilesystemStorage.get_object = get_object_cut
    uvicorn.run(build_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
