"""Android phones through adb: choose one, read what it is, push, run edgedeblur-bench on it, watch it meanwhile."""
