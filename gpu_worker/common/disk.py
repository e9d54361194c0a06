"""How a disk says that it is full."""

import errno

# The last is what a limit of the process, or of the file system, to the size of files says.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def lacks_room(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in NO_ROOM
