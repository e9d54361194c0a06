"""`make chaos`: the whole stack under load while things are done to it, and what it promised checked after.

    JOBS=200 SEED=1 SECONDS=750 python -m chaos

A program of its own, on loopback: it starts Postgres, Valkey, an S3 server, the web process, control
workers and three render workers, orders videos as customers of eight tenants do, and meanwhile kills,
stops, cuts off and confuses whatever there is. What is done follows from the seed. At the end every
promise is checked from outside and against the database.
"""
