"""Times to the second and by ISO 8601, to be compared with what logs say."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s"
