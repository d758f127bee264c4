"""
What it costs, against floors and rivals, side by side in one run; the work behind ``hack/bench``.

``workload`` says what has to be true on a machine, ``ways`` are those who make it true, ``hosts``
and ``cluster`` measure, ``report`` and ``chart`` write down.
"""
