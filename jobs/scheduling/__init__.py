"""Whose job is next, how long it has its worker for, and when it will be done.

`dispatch` sends what `fair_queue` chooses; `queries` reads and keeps what it needs; `preemption` ends slices;
`window_times`, `eta` and `simulation` predict. What a job is or becomes is not decided here.
"""
