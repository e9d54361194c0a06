"""nanio, an S3 server that checks signatures: `python -m tests.gpu_worker.s3_server PORT`, with its NANIO_*.

It refuses a range that ends behind the object, which S3 and R2 cut to the object's size, as HTTP wants. Here
every range goes to the object's end, which for the small objects of the tests is the same.
"""

import sys

import uvicorn
from nanio.app import build_app
from nanio.handlers import object as objects

if __name__ == "__main__":
    parse_range = objects._parse_range_header
    objects._parse_range_header = lambda value: (parse_range(value)[0], None)
    uvicorn.run(build_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
