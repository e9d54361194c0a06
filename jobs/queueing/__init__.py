"""Whose job is next, how long it has its worker for, and when it will be done.

`jobs.dispatch` sends what is chosen here. `fairness` is the rule, without a database; `standing` reads and
keeps what the rule needs; `yielding` ends slices; `pace` tells how long a window takes; `outlook` and
`forecast` say where a job stands in the queue, and for how long.
"""
